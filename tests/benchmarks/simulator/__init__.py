"""An engine with continuous batching, simulated, and the real stream code driven by it."""
