"""Removes the lines that uphold what must always hold, one by one, and expects a test to notice: see README.md."""
