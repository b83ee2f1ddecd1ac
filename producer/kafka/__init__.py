"""Kafka, from upstream's side: aiokafka is imported in this folder only, and its errors are translated here, once."""
