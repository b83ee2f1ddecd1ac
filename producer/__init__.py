"""The upstream side: send, watch, demo. Never imports the consumer."""
