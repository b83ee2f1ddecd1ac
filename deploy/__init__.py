"""What runs around the programs, the development broker first. Not shipped in the wheel."""
