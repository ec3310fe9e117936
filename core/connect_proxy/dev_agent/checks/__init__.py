"""Health checks that really run: TCP, HTTP, TTL, alias."""
