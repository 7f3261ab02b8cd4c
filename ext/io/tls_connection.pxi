# One TLS connection, and OpenSSL's way to its bytes: memory, never a socket.

from libc.stdlib cimport malloc, realloc
from libc.string cimport memcmp, memcpy, memmove

cdef enum:
    NO_SLOT = 0xffffffff
    TLS_PLAIN_BYTES = 65536     # of what is decrypted, handed out at a time
    TLS_STASH_BYTES = 65536     # at least what a backend hands out at a time
    TLS_RECORD_BYTES = 16384    # of content, at most (RFC 8446, 5.1)
    TLS_AHEAD_BYTES = 65536     # of records made before the inner backend has taken them

cdef enum TlsState:
    TLS_CLOSED
    TLS_CONNECTING
    TLS_SHAKING
    TLS_OPEN
    TLS_ENDED                   # the end of the stream was told, or its error


cdef struct TlsSlot:
    const TlsShared *terms      # NULL: no TLS, bytes go through as they are
    SSL *ssl
    TlsState state
    bint sending                # records are with the inner backend
    bint telling                # the caller waits for the end of a send
    const uint8_t *source       # received and not yet read by OpenSSL
    size_t source_bytes
    const uint8_t *plain        # of the caller's send, not yet made into records
    size_t plain_left
    size_t plain_bytes
    uint8_t *made               # records that wait for the inner backend
    size_t made_bytes
    size_t made_room
    uint8_t *flying             # records that it has
    size_t flying_room
    int64_t connected_ns


# OpenSSL's way to our bytes.

cdef int tls_bio_read(tls.BIO *bio, char *out, int bytes) noexcept nogil:
    cdef TlsSlot *at = <TlsSlot *> tls.BIO_get_data(bio)
    cdef size_t taken = min(at.source_bytes, <size_t> bytes)
    tls.BIO_clear_retry_flags(bio)
    if taken == 0:
        tls.BIO_set_retry_read(bio)
        return -1
    memcpy(out, at.source, taken)
    at.source += taken
    at.source_bytes -= taken
    return <int> taken


cdef int tls_bio_write(tls.BIO *bio, const char *data, int bytes) noexcept nogil:
    cdef TlsSlot *at = <TlsSlot *> tls.BIO_get_data(bio)
    cdef size_t wanted = at.made_bytes + <size_t> bytes
    cdef void *room
    tls.BIO_clear_retry_flags(bio)
    if wanted > at.made_room:
        room = realloc(at.made, wanted)
        if room == NULL:
            return -1
        at.made = <uint8_t *> room
        at.made_room = wanted
    memcpy(at.made + at.made_bytes, data, <size_t> bytes)
    at.made_bytes = wanted
    return bytes


cdef long tls_bio_ctrl(tls.BIO *bio, int command, long number, void *pointer) noexcept nogil:
    return 1 if command == tls.BIO_CTRL_FLUSH else 0


cdef tls.BIO_METHOD *tls_bio_method = tls.BIO_meth_new(tls.BIO_TYPE_SOURCE_SINK, "heyfleet")
tls.BIO_meth_set_read(tls_bio_method, tls_bio_read)
tls.BIO_meth_set_write(tls_bio_method, tls_bio_write)
tls.BIO_meth_set_ctrl(tls_bio_method, tls_bio_ctrl)
