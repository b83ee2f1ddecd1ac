"""Time and memory of `review-consumer dlq` on many dead letters: see `__main__`."""
