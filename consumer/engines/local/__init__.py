"""The embedded default engine: on the CPU, no downloads, Korean and English."""
