"""How well the totals of a restaurant tell its ratings."""
