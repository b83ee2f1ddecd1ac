"""How full the service keeps a vLLM engine."""
