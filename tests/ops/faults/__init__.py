"""Ten faults, staged one after another, and which panel and alert showed each."""
