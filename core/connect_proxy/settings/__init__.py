"""Settings: declared once, read from defaults, a file, the environment and flags; each knows its source."""
