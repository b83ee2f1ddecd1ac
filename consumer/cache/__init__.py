"""The result cache: what a model said is not asked again. An engine around an engine, so nobody else knows of it."""
