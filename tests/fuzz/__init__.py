"""Inputs without end through the decode path: `make fuzz`, and a part of it in the tests."""
