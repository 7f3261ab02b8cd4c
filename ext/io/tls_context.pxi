# What the TLS connections of a worker share: trusted authorities, the client's certificate, the latest session, and the
# certificate verified last.

from heyfleet.ext cimport c_openssl as tls
from heyfleet.ext.c_openssl cimport SSL, SSL_CTX, SSL_SESSION, X509, X509_STORE_CTX

# Versions of TLS that can be demanded, by name.
_TLS_VERSIONS = {"1.2": tls.TLS1_2_VERSION, "1.3": tls.TLS1_3_VERSION}


cdef enum:
    TLS_ROOMY_CONNECTIONS = 1024


# The part of a context that connections and OpenSSL's callbacks use.
cdef struct TlsShared:
    SSL_CTX *context
    const char *sent_name       # NULL: none
    bint verifies
    const char *demanded        # the protocol without which a connection fails
    size_t demanded_bytes       # 0: none
    SSL_SESSION *session        # the latest one; NULL: none yet, or sessions are not resumed
    X509 *verified              # the certificate of the peer that was verified last
    bint resume


cdef int tls_take_session(SSL *ssl, SSL_SESSION *session) noexcept nogil:
    """Keep the latest session. 1: the reference is taken over."""
    cdef TlsShared *shared = <TlsShared *> tls.SSL_CTX_get_ex_data(tls.SSL_get_SSL_CTX(ssl), 0)
    if not shared.resume:
        return 0
    tls.SSL_SESSION_free(shared.session)
    shared.session = session
    return 1


cdef int tls_verify(X509_STORE_CTX *context, void *argument) noexcept nogil:
    """Verify the peer's chain and name, or recognise a certificate verified before; 1 if it is valid.

    Thousands of connections to one server meet one certificate. That its owner has the key is proved by each handshake all
    the same.
    """
    cdef TlsShared *shared = <TlsShared *> argument
    cdef X509 *leaf = tls.X509_STORE_CTX_get0_cert(context)
    if shared.verified != NULL and leaf != NULL and tls.X509_cmp(shared.verified, leaf) == 0:
        tls.X509_STORE_CTX_set_error(context, tls.X509_V_OK)
        return 1
    if tls.X509_verify_cert(context) <= 0:
        return 0
    if leaf != NULL:
        tls.X509_up_ref(leaf)
        tls.X509_free(shared.verified)
        shared.verified = leaf
    return 1


@final
cdef class TlsContext:
    """How a worker's connections speak TLS. Make one for each engine.

    `name` is the server's: a host name, which is sent (SNI), or an address; either is what its certificate must be for.
    `ca_pem`: trusted instead of the system's authorities. `certificate_pem` (with its chain) and `key_pem` are the
    client's. `version` "1.2" or "1.3" allows no other; "" allows both. `protocols` are offered by ALPN (RFC 7301), the
    preferred first; `demand`: without agreement on that one a connection fails. Raises ValueError with what can't be used,
    and MemoryError.
    """

    cdef TlsShared shared
    cdef bytes name
    cdef bytes demand

    def __cinit__(self):
        memset(&self.shared, 0, sizeof(self.shared))

    def __init__(self, str name not None, *, bint insecure=False, bytes ca_pem=b"", bytes certificate_pem=b"",
                 bytes key_pem=b"", bint resume=True, str version="", tuple protocols=("http/1.1",), str demand=""):
        cdef bytes offered = b"".join(bytes([len(each)]) + each.encode() for each in protocols)
        cdef const unsigned char *offer = offered
        if self.shared.context != NULL:
            raise ValueError("a TLS context can be initialised only once")
        self.shared.context = tls.SSL_CTX_new(tls.TLS_client_method())
        if self.shared.context == NULL:
            raise MemoryError
        if version and version not in _TLS_VERSIONS:
            raise ValueError(f"TLS versions are {' and '.join(_TLS_VERSIONS)}, not {version}")
        tls.SSL_CTX_set_min_proto_version(self.shared.context, _TLS_VERSIONS[version or "1.2"])
        tls.SSL_CTX_set_max_proto_version(self.shared.context, _TLS_VERSIONS[version or "1.3"])
        # HTTP's own framing detects truncated responses.
        tls.SSL_CTX_set_options(self.shared.context, tls.SSL_OP_IGNORE_UNEXPECTED_EOF)
        # SSL_read returns after each record without content, so that a flood of them can be counted.
        tls.SSL_CTX_clear_mode(self.shared.context, tls.SSL_MODE_AUTO_RETRY)
        # A close sends nothing to the peer, and the session stays valid for the next connection.
        tls.SSL_CTX_set_quiet_shutdown(self.shared.context, 1)
        self.shared.resume = resume
        self.demand = demand.encode()
        self.shared.demanded = self.demand
        self.shared.demanded_bytes = len(self.demand)
        tls.SSL_CTX_set_ex_data(self.shared.context, 0, &self.shared)
        tls.SSL_CTX_set_session_cache_mode(self.shared.context, tls.SSL_SESS_CACHE_CLIENT | tls.SSL_SESS_CACHE_NO_INTERNAL)
        tls.SSL_CTX_sess_set_new_cb(self.shared.context, tls_take_session)
        if offered and tls.SSL_CTX_set_alpn_protos(self.shared.context, offer, <unsigned int> len(offered)) != 0:
            raise MemoryError
        self.take_name(name)
        self.take_trust(insecure, ca_pem)
        if certificate_pem or key_pem:
            self.take_identity(certificate_pem, key_pem or certificate_pem)

    cdef void serve(self, uint32_t connections) noexcept:
        """Prepare for `connections` at a time. Many keep no buffers between records, which saves 34 KiB for each idle one."""
        if connections > TLS_ROOMY_CONNECTIONS:
            tls.SSL_CTX_set_mode(self.shared.context, tls.SSL_MODE_RELEASE_BUFFERS)

    cdef take_name(self, str name):
        self.name = name.rstrip(".").encode()
        if tls.X509_VERIFY_PARAM_set1_ip_asc(tls.SSL_CTX_get0_param(self.shared.context), self.name.partition(b"%")[0]) == 1:
            return  # an address is not a name for SNI (RFC 6066, 3)
        tls.ERR_clear_error()
        self.shared.sent_name = self.name
        if tls.X509_VERIFY_PARAM_set1_host(tls.SSL_CTX_get0_param(self.shared.context), self.name, 0) != 1:
            raise ValueError(f"{name!r} can't be a server's name")

    cdef take_trust(self, bint insecure, bytes ca_pem):
        cdef int count = 0
        if insecure:
            tls.SSL_CTX_set_verify(self.shared.context, tls.SSL_VERIFY_NONE, NULL)
            return
        self.shared.verifies = True
        tls.SSL_CTX_set_verify(self.shared.context, tls.SSL_VERIFY_PEER, NULL)
        tls.SSL_CTX_set_cert_verify_callback(self.shared.context, tls_verify, &self.shared)
        if not ca_pem:
            tls.SSL_CTX_set_default_verify_paths(self.shared.context)
            return
        certificates = PemCertificates(ca_pem)
        while certificates.next():
            tls.X509_STORE_add_cert(tls.SSL_CTX_get_cert_store(self.shared.context), certificates.current)
            count += 1
        if count == 0:
            raise ValueError("the certificates to trust hold none in PEM (-----BEGIN CERTIFICATE-----)")

    cdef take_identity(self, bytes certificate_pem, bytes key_pem):
        cdef tls.EVP_PKEY *key
        cdef tls.BIO *bio
        cdef int used
        certificates = PemCertificates(certificate_pem)
        if not certificates.next() or tls.SSL_CTX_use_certificate(self.shared.context, certificates.current) != 1:
            raise ValueError(f"the client certificate is none in PEM that can be used{_tls_reason()}")
        while certificates.next():
            X509_up_ref_or_fail(certificates.current)
            tls.SSL_CTX_add_extra_chain_cert(self.shared.context, certificates.current)
        bio = tls.BIO_new_mem_buf(<const char *> key_pem, <int> len(key_pem))
        # An empty password, so that OpenSSL does not prompt for one at the terminal.
        key = tls.PEM_read_bio_PrivateKey(bio, NULL, NULL, <void *> b"")
        tls.BIO_free(bio)
        if key == NULL:
            raise ValueError(f"the client's key can't be read: it must be in PEM, without a password{_tls_reason()}")
        used = tls.SSL_CTX_use_PrivateKey(self.shared.context, key)
        tls.EVP_PKEY_free(key)
        if used != 1 or tls.SSL_CTX_check_private_key(self.shared.context) != 1:
            raise ValueError(f"the client's key is not that of its certificate{_tls_reason()}")

    def __dealloc__(self):
        # The context holds pointers to `shared`.
        tls.SSL_CTX_free(self.shared.context)
        tls.SSL_SESSION_free(self.shared.session)
        tls.X509_free(self.shared.verified)


@final
cdef class PemCertificates:
    """Iterates over the certificates of a PEM text."""

    cdef bytes text
    cdef tls.BIO *bio
    cdef X509 *current

    def __cinit__(self, bytes text not None):
        self.text = text
        self.bio = tls.BIO_new_mem_buf(<const char *> self.text, <int> len(self.text))
        if self.bio == NULL:
            raise MemoryError

    cdef bint next(self):
        """Go to the next certificate, which is `current` until the next call. False: there is none."""
        tls.X509_free(self.current)
        self.current = tls.PEM_read_bio_X509(self.bio, NULL, NULL, NULL)
        if self.current == NULL:
            tls.ERR_clear_error()
        return self.current != NULL

    def __dealloc__(self):
        tls.X509_free(self.current)
        tls.BIO_free(self.bio)


cdef int X509_up_ref_or_fail(X509 *certificate) except -1:
    if tls.X509_up_ref(certificate) != 1:
        raise MemoryError
    return 0


cdef str _tls_reason():
    """Return OpenSSL's text for its latest error, in brackets, and clear the error."""
    cdef const char *words = tls.ERR_reason_error_string(tls.ERR_peek_last_error())
    text = f" ({(<bytes> words).decode()})" if words != NULL else ""
    tls.ERR_clear_error()
    return text
