"""Tests with a real vLLM and real weights, on the CPU."""
