"""From event to result, in an open loop."""
