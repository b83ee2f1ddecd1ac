"""What the listeners cost: see __main__.py."""
