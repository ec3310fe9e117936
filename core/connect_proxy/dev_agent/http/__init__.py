"""The HTTP API under ``/v1``. ``routes.py`` is the table of endpoints."""
