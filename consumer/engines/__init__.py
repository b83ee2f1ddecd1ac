"""The engines: one contract, one adapter each."""
