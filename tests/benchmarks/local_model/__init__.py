"""How the local engine's sentiment weights are made and measured; see the README."""
