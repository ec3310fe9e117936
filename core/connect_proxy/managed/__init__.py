"""Managed proxies: service definitions in, registered, supervised and re-adopted sidecars out."""
