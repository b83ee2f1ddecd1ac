"""The engine `openai`: any server that speaks OpenAI's API: vLLM, llm-d, a gateway."""
