"""How throughput grows with members, and whether a record costs more with many restaurants or a long backlog."""
