"""Handshakes, records and identities: TLS on one of two OpenSSLs."""
