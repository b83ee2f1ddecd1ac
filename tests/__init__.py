"""Tests: unit, property, contract and, on a real broker, integration. Not shipped."""
