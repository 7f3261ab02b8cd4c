# The parts of OpenSSL 3 that the engine uses.

from libc.stdint cimport uint64_t

cdef extern from "<openssl/bio.h>" nogil:
    ctypedef struct BIO:
        pass
    ctypedef struct BIO_METHOD:
        pass
    enum: BIO_CTRL_FLUSH
    enum: BIO_TYPE_SOURCE_SINK
    BIO_METHOD *BIO_meth_new(int type, const char *name)
    void BIO_meth_free(BIO_METHOD *method)
    int BIO_meth_set_write(BIO_METHOD *method, int (*write)(BIO *, const char *, int) noexcept nogil)
    int BIO_meth_set_read(BIO_METHOD *method, int (*read)(BIO *, char *, int) noexcept nogil)
    int BIO_meth_set_ctrl(BIO_METHOD *method, long (*ctrl)(BIO *, int, long, void *) noexcept nogil)
    BIO *BIO_new(const BIO_METHOD *method)
    BIO *BIO_new_mem_buf(const void *data, int bytes)
    int BIO_free(BIO *bio)
    void BIO_set_data(BIO *bio, void *data)
    void *BIO_get_data(BIO *bio)
    void BIO_set_init(BIO *bio, int init)
    void BIO_set_retry_read(BIO *bio)
    void BIO_clear_retry_flags(BIO *bio)

cdef extern from "<openssl/x509.h>" nogil:
    ctypedef struct X509:
        pass
    ctypedef struct EVP_PKEY:
        pass
    int X509_up_ref(X509 *certificate)
    void X509_free(X509 *certificate)
    int X509_cmp(const X509 *a, const X509 *b)
    void EVP_PKEY_free(EVP_PKEY *key)

cdef extern from "<openssl/x509_vfy.h>" nogil:
    ctypedef struct X509_STORE:
        pass
    ctypedef struct X509_STORE_CTX:
        pass
    ctypedef struct X509_VERIFY_PARAM:
        pass
    enum: X509_V_OK
    enum: X509_V_ERR_CERT_NOT_YET_VALID
    enum: X509_V_ERR_CERT_HAS_EXPIRED
    enum: X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT
    enum: X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN
    enum: X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT
    enum: X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    enum: X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE
    enum: X509_V_ERR_HOSTNAME_MISMATCH
    enum: X509_V_ERR_IP_ADDRESS_MISMATCH
    int X509_STORE_add_cert(X509_STORE *store, X509 *certificate)
    X509 *X509_STORE_CTX_get0_cert(X509_STORE_CTX *context)
    void X509_STORE_CTX_set_error(X509_STORE_CTX *context, int error)
    int X509_verify_cert(X509_STORE_CTX *context)
    int X509_VERIFY_PARAM_set1_host(X509_VERIFY_PARAM *param, const char *name, size_t length)
    int X509_VERIFY_PARAM_set1_ip_asc(X509_VERIFY_PARAM *param, const char *address)

cdef extern from "<openssl/pem.h>" nogil:
    X509 *PEM_read_bio_X509(BIO *bio, X509 **out, void *callback, void *password)
    EVP_PKEY *PEM_read_bio_PrivateKey(BIO *bio, EVP_PKEY **out, void *callback, void *password)

cdef extern from "<openssl/err.h>" nogil:
    unsigned long ERR_peek_error()
    unsigned long ERR_peek_last_error()
    void ERR_clear_error()
    int ERR_GET_REASON(unsigned long error)
    const char *ERR_reason_error_string(unsigned long error)

cdef extern from "<openssl/ssl.h>" nogil:
    ctypedef struct SSL:
        pass
    ctypedef struct SSL_CTX:
        pass
    ctypedef struct SSL_SESSION:
        pass
    ctypedef struct SSL_METHOD:
        pass
    enum: SSL_AD_REASON_OFFSET
    enum: SSL_ERROR_WANT_READ
    enum: SSL_ERROR_ZERO_RETURN
    enum: SSL_MODE_AUTO_RETRY
    enum: SSL_MODE_RELEASE_BUFFERS
    enum: SSL_OP_IGNORE_UNEXPECTED_EOF
    enum: SSL_SESS_CACHE_CLIENT
    enum: SSL_SESS_CACHE_NO_INTERNAL
    enum: SSL_VERIFY_NONE
    enum: SSL_VERIFY_PEER
    enum: TLS1_2_VERSION
    enum: TLS1_3_VERSION
    enum: TLSEXT_NAMETYPE_host_name
    const SSL_METHOD *TLS_client_method()
    SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
    void SSL_CTX_free(SSL_CTX *context)
    int SSL_CTX_set_min_proto_version(SSL_CTX *context, int version)
    int SSL_CTX_set_max_proto_version(SSL_CTX *context, int version)
    long SSL_CTX_set_mode(SSL_CTX *context, long mode)
    long SSL_CTX_clear_mode(SSL_CTX *context, long mode)
    uint64_t SSL_CTX_set_options(SSL_CTX *context, uint64_t options)
    long SSL_CTX_set_session_cache_mode(SSL_CTX *context, long mode)
    void SSL_CTX_sess_set_new_cb(SSL_CTX *context, int (*taken)(SSL *, SSL_SESSION *) noexcept nogil)
    void SSL_CTX_set_quiet_shutdown(SSL_CTX *context, int quiet)
    void SSL_CTX_set_verify(SSL_CTX *context, int mode, void *callback)
    void SSL_CTX_set_cert_verify_callback(
        SSL_CTX *context, int (*verify)(X509_STORE_CTX *, void *) noexcept nogil, void *argument)
    int SSL_CTX_set_default_verify_paths(SSL_CTX *context)
    X509_STORE *SSL_CTX_get_cert_store(const SSL_CTX *context)
    X509_VERIFY_PARAM *SSL_CTX_get0_param(SSL_CTX *context)
    int SSL_CTX_use_certificate(SSL_CTX *context, X509 *certificate)
    long SSL_CTX_add_extra_chain_cert(SSL_CTX *context, X509 *certificate)
    int SSL_CTX_use_PrivateKey(SSL_CTX *context, EVP_PKEY *key)
    int SSL_CTX_check_private_key(const SSL_CTX *context)
    int SSL_CTX_set_alpn_protos(SSL_CTX *context, const unsigned char *protos, unsigned int bytes)
    int SSL_CTX_set_ex_data(SSL_CTX *context, int index, void *data)
    void *SSL_CTX_get_ex_data(const SSL_CTX *context, int index)
    SSL_CTX *SSL_get_SSL_CTX(const SSL *ssl)
    SSL *SSL_new(SSL_CTX *context)
    void SSL_free(SSL *ssl)
    void SSL_set_bio(SSL *ssl, BIO *read, BIO *write)
    void SSL_set_connect_state(SSL *ssl)
    long SSL_set_tlsext_host_name(SSL *ssl, const char *name)
    int SSL_set_session(SSL *ssl, SSL_SESSION *session)
    void SSL_SESSION_free(SSL_SESSION *session)
    int SSL_session_reused(const SSL *ssl)
    void SSL_get0_alpn_selected(const SSL *ssl, const unsigned char **data, unsigned int *bytes)
    int SSL_do_handshake(SSL *ssl)
    int SSL_read(SSL *ssl, void *buffer, int bytes)
    int SSL_write(SSL *ssl, const void *data, int bytes)
    int SSL_has_pending(const SSL *ssl)
    int SSL_shutdown(SSL *ssl)
    int SSL_get_error(const SSL *ssl, int result)
    long SSL_get_verify_result(const SSL *ssl)
    const char *SSL_get_version(const SSL *ssl)
    const char *SSL_get_cipher_name(const SSL *ssl)
