"""Calibrated on one half, measured on the other: `python -m tests.benchmarks.calibration --data DIR`."""
