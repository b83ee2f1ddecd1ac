"""A real Kafka broker for development and tests, by the standard library alone (and testcontainers, if installed)."""
