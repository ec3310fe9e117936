"""What the embedded agent keeps on disk with ``-server``: as values, as a file, and when it is written.

No secret is among it: no token, no key of a certificate, not the CA's own.
"""
