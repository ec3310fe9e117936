"""Finding backends, loading the chosen one, calling its hooks (filled next)."""
