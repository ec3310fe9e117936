"""What managed proxies write, and keeping it."""
