"""The HTTP gateway: `review-producer gateway`. It holds no model: it asks over Kafka, and gathers the replies."""
