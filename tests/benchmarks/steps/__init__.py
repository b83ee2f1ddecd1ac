"""What each step of a record's way costs, by samples of a running member."""
