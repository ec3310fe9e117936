"""The OpenSSL that the ``cryptography`` package carries, through the binding that pyOpenSSL uses too.

It is newer than the one that most Python installations are linked with: its AES-GCM is more than
twice as fast, its handshakes take half as long. The binding makes no promise of stability, so
what is needed is looked for by name, and without it :mod:`ssl` does the work (``tls_engine``).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Final

NEEDED: Final = (
    "BIO_free",
    "BIO_get_mem_data",
    "BIO_new",
    "BIO_new_mem_buf",
    "BIO_read",
    "BIO_s_mem",
    "BIO_write",
    "ERR_clear_error",
    "ERR_get_error",
    "ERR_reason_error_string",
    "EVP_PKEY_free",
    "PEM_read_bio_PrivateKey",
    "PEM_read_bio_X509",
    "SSL_CTX_add_extra_chain_cert",
    "SSL_CTX_check_private_key",
    "SSL_CTX_free",
    "SSL_CTX_get_cert_store",
    "SSL_CTX_new",
    "SSL_CTX_set1_curves_list",
    "SSL_CTX_set_cipher_list",
    "SSL_CTX_set_ciphersuites",
    "SSL_CTX_set_max_proto_version",
    "SSL_CTX_set_min_proto_version",
    "SSL_CTX_set_mode",
    "SSL_CTX_set_options",
    "SSL_CTX_set_session_cache_mode",
    "SSL_CTX_set_session_id_context",
    "SSL_CTX_set_verify",
    "SSL_CTX_use_PrivateKey",
    "SSL_CTX_use_certificate",
    "SSL_SESSION_free",
    "SSL_do_handshake",
    "SSL_free",
    "SSL_get1_session",
    "SSL_get_error",
    "SSL_get_peer_certificate",
    "SSL_new",
    "SSL_read",
    "SSL_session_reused",
    "SSL_set_accept_state",
    "SSL_set_bio",
    "SSL_set_connect_state",
    "SSL_set_session",
    "SSL_set_shutdown",
    "SSL_shutdown",
    "SSL_version",
    "SSL_write",
    "TLS_method",
    "X509_STORE_add_cert",
    "X509_free",
    "X509_up_ref",
    "i2d_SSL_SESSION",
    "i2d_X509_bio",
)


@dataclass(frozen=True, kw_only=True)
class Library:
    """The functions of OpenSSL, and what makes C values for them."""

    lib: Any
    ffi: Any


@functools.cache
def bundled() -> Library | None:
    """The library, or None if this ``cryptography`` does not have all that is needed."""
    try:
        from cryptography.hazmat.bindings.openssl.binding import Binding
    except ImportError:
        return None
    binding = Binding()
    if not all(hasattr(binding.lib, name) for name in NEEDED):
        return None
    return Library(lib=binding.lib, ffi=binding.ffi)
