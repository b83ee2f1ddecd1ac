"""Kafka: source, publisher, admin. aiokafka is imported here, and its errors are translated here, once."""
