"""The consumer on a vLLM whose KV cache is too small on purpose."""
