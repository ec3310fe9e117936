"""Certificates, roots and rules for TLS on the OpenSSL of ``cryptography``: ``ssl.SSLContext``'s part.

Everything is read from memory. What is not set here is OpenSSL's default: chains are verified up to
a root, leaves must be valid now and be meant for their side (client or server).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from connect_proxy.secret import Secret
from connect_proxy_builtin.tls.openssl_buffers import MemoryBuffer, Scratch
from connect_proxy_builtin.tls.openssl_library import Library
from connect_proxy_builtin.tls.openssl_session import OpenSslSession, Ticket, openssl_error
from connect_proxy_builtin.tls.versions import TlsVersions

CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2."""
CIPHERSUITES: Final = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
"""For TLS 1.3. 128 bits first, as Go and BoringSSL have it where the processor knows AES."""
GROUPS: Final = b"X25519:P-256:P-384"
"""What Consul's proxy and Envoy have in common with us: no time is spent on keys for others."""
VERIFY_PEER: Final = 0x03
"""SSL_VERIFY_PEER and SSL_VERIFY_FAIL_IF_NO_PEER_CERT."""
MODE: Final = 0x02 | 0x04 | 0x10
"""SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, SSL_MODE_AUTO_RETRY, SSL_MODE_RELEASE_BUFFERS."""
OPTIONS: Final = 0x0002_0000 | 0x4000_0000
"""SSL_OP_NO_COMPRESSION, SSL_OP_NO_RENEGOTIATION."""
CACHE_OFF: Final = 0
"""Servers keep nothing: sessions live in tickets, whose keys live and die with the context."""
SESSION_CONTEXT: Final = b"connect-proxy"
"""A server that asks for certificates must name where its sessions belong."""


class OpenSslContext:
    """One side's; for one thread."""

    def __init__(self, library: Library, *, versions: TlsVersions, server_side: bool) -> None:
        self._library, self._server_side = library, server_side
        self._scratch = Scratch(library)
        lib, ffi = library.lib, library.ffi
        lib.ERR_clear_error()
        context = self._checked(lib.SSL_CTX_new(lib.TLS_method()))
        self._context = ffi.gc(context, lib.SSL_CTX_free)
        self._checked(lib.SSL_CTX_set_min_proto_version(self._context, versions.minimum))
        self._checked(lib.SSL_CTX_set_max_proto_version(self._context, versions.maximum))
        self._checked(lib.SSL_CTX_set_cipher_list(self._context, CIPHERS))
        self._checked(lib.SSL_CTX_set_ciphersuites(self._context, CIPHERSUITES))
        self._checked(lib.SSL_CTX_set1_curves_list(self._context, GROUPS))
        lib.SSL_CTX_set_options(self._context, OPTIONS)
        lib.SSL_CTX_set_mode(self._context, MODE)
        lib.SSL_CTX_set_verify(self._context, VERIFY_PEER, ffi.NULL)
        lib.SSL_CTX_set_session_cache_mode(self._context, CACHE_OFF)
        self._checked(
            lib.SSL_CTX_set_session_id_context(self._context, SESSION_CONTEXT, len(SESSION_CONTEXT))
        )

    def trust(self, roots_pem: str) -> None:
        """These roots. Raises OpenSslError."""
        store = self._library.lib.SSL_CTX_get_cert_store(self._context)
        for certificate in self._certificates(roots_pem):
            self._checked(self._library.lib.X509_STORE_add_cert(store, certificate))

    def show(self, certificate_pem: str, private_key: Secret) -> None:
        """This leaf, with the intermediates after it. Raises OpenSslError."""
        lib, ffi = self._library.lib, self._library.ffi
        leaf, *intermediates = list(self._certificates(certificate_pem))
        self._checked(lib.SSL_CTX_use_certificate(self._context, leaf))
        for certificate in intermediates:
            lib.X509_up_ref(certificate)  # for the context, which frees it
            self._checked(lib.SSL_CTX_add_extra_chain_cert(self._context, certificate))
        text = private_key.reveal().encode()
        bio = lib.BIO_new_mem_buf(text, len(text))
        try:
            key = lib.PEM_read_bio_PrivateKey(bio, ffi.NULL, ffi.NULL, ffi.NULL)
            key = ffi.gc(self._checked(key), lib.EVP_PKEY_free)
        finally:
            lib.BIO_free(bio)
        self._checked(lib.SSL_CTX_use_PrivateKey(self._context, key))
        self._checked(lib.SSL_CTX_check_private_key(self._context))

    def buffer(self) -> MemoryBuffer:
        """For one direction of a session."""
        return MemoryBuffer(self._library, self._scratch)

    def session(
        self, incoming: MemoryBuffer, outgoing: MemoryBuffer, *, resume: Ticket | None = None
    ) -> OpenSslSession:
        """For one connection."""
        session = OpenSslSession(
            self._library, self._context, incoming, outgoing, server_side=self._server_side
        )
        if resume is not None:
            session.resume(resume)
        return session

    def _certificates(self, pem: str) -> Iterator[Any]:
        """Each certificate of *pem*. Raises OpenSslError where there is none."""
        lib, ffi = self._library.lib, self._library.ffi
        text = pem.encode()
        bio = lib.BIO_new_mem_buf(text, len(text))
        try:
            found = self._checked(lib.PEM_read_bio_X509(bio, ffi.NULL, ffi.NULL, ffi.NULL))
            while found != ffi.NULL:
                yield ffi.gc(found, lib.X509_free)
                found = lib.PEM_read_bio_X509(bio, ffi.NULL, ffi.NULL, ffi.NULL)
            lib.ERR_clear_error()  # "no start line": the end
        finally:
            lib.BIO_free(bio)

    def _checked(self, result: Any) -> Any:
        """*result*, unless it means failure: 0, or no pointer. Raises OpenSslError."""
        if not result:
            raise openssl_error(self._library)
        return result
