"""The engine `vllm`: AsyncLLM in this process. vLLM itself is imported when it is started."""
