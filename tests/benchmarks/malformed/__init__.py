"""Malformed events among good ones: see `__main__`."""
