"""The agent's own HTTP API."""
