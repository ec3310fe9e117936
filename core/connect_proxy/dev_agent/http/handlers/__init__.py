"""Handlers, one module per first word of the path."""
