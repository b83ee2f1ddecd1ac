"""Time and memory of a lane's restore: `python -m tests.benchmarks.restore`."""
