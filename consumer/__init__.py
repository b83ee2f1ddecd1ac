"""The service: reviews in on Kafka; sentiment, totals, summaries and strengths out on Kafka."""
