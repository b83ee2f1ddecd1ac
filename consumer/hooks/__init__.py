"""Metrics, logs and health: listeners on one frozen event type."""
