# One TLS connection, and the memory that OpenSSL reads its records from and writes them to.

from libc.stdlib cimport malloc, realloc
from libc.string cimport memcmp, memcpy, memmove

cdef enum:
    NO_SLOT = 0xffffffff
    TLS_PLAIN_BYTES = 65536     # of decrypted bytes, handed out at a time
    TLS_STASH_BYTES = 65536     # no less than a backend hands out at a time
    TLS_RECORD_BYTES = 16384    # of content, at most (RFC 8446, 5.1)
    TLS_AHEAD_BYTES = 65536     # of records encrypted before the inner backend has taken them
    TLS_FLOOD_BYTES = 1048576   # of records for a peer that keeps changing keys and reads nothing
    TLS_EMPTY_RECORDS_AT_MOST = 32  # records without content in a row: new keys, tickets, alerts

cdef enum TlsState:
    TLS_CLOSED
    TLS_CONNECTING
    TLS_SHAKING
    TLS_OPEN
    TLS_ENDED                   # the end of the stream, or its error, was reported


cdef struct TlsSlot:
    const TlsShared *terms      # NULL: without TLS, bytes pass unchanged
    SSL *ssl
    TlsState state
    bint sending                # records are with the inner backend
    bint telling                # a send of the caller is outstanding
    const uint8_t *source       # received bytes that OpenSSL has not read yet
    size_t source_bytes
    bint starved                # OpenSSL needs more than that
    uint32_t empty_records      # since the last content
    bint answered               # content has come
    const uint8_t *plain        # the rest of the caller's send, not encrypted yet
    size_t plain_left
    size_t plain_bytes
    uint8_t *out               # records that wait for the inner backend
    size_t out_bytes
    size_t out_room
    uint8_t *sending_data             # records that it has
    size_t sending_room
    int64_t connected_ns


# A BIO over the slot's memory.

cdef int tls_bio_read(tls.BIO *bio, char *out, int bytes) noexcept nogil:
    cdef TlsSlot *at = <TlsSlot *> tls.BIO_get_data(bio)
    cdef size_t taken = min(at.source_bytes, <size_t> bytes)
    tls.BIO_clear_retry_flags(bio)
    if taken == 0:
        at.starved = True
        tls.BIO_set_retry_read(bio)
        return -1
    memcpy(out, at.source, taken)
    at.source += taken
    at.source_bytes -= taken
    return <int> taken


cdef int tls_bio_write(tls.BIO *bio, const char *data, int bytes) noexcept nogil:
    cdef TlsSlot *at = <TlsSlot *> tls.BIO_get_data(bio)
    cdef size_t wanted = at.out_bytes + <size_t> bytes
    cdef void *room
    tls.BIO_clear_retry_flags(bio)
    if wanted > at.out_room:
        room = realloc(at.out, wanted)
        if room == NULL:
            return -1
        at.out = <uint8_t *> room
        at.out_room = wanted
    memcpy(at.out + at.out_bytes, data, <size_t> bytes)
    at.out_bytes = wanted
    return bytes


cdef long tls_bio_ctrl(tls.BIO *bio, int command, long number, void *pointer) noexcept nogil:
    return 1 if command == tls.BIO_CTRL_FLUSH else 0


cdef tls.BIO_METHOD *tls_bio_method = tls.BIO_meth_new(tls.BIO_TYPE_SOURCE_SINK, "heyfleet")
tls.BIO_meth_set_read(tls_bio_method, tls_bio_read)
tls.BIO_meth_set_write(tls_bio_method, tls_bio_write)
tls.BIO_meth_set_ctrl(tls_bio_method, tls_bio_ctrl)
