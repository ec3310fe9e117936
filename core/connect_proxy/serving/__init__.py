"""Serving HTTP: what the embedded agent and the agent of managed proxies share."""
