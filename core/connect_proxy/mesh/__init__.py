"""The mesh's own nouns as frozen values: registration, upstream, certificates, intentions, endpoints.

Nothing here does I/O. Public: backends may import every module of this package.
"""
