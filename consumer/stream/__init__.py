"""Pure decisions: no I/O, no clock of its own, no await. Time and randomness are passed in."""
