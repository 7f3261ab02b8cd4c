# What is sent, and to whom: the plan's requests, and those that redirects lead to.

from cpython.object cimport PyObject


# One of the plan's requests, rendered.
cdef struct Message:
    const uint8_t *data
    size_t bytes
    bint head                   # its answers have no body
    uint64_t id                 # its place in the plan; above them: of a redirect
    bint idempotent             # that it is done twice changes nothing (RFC 9110, 9.2.2)


# Whom to connect to. The first one is the plan's target.
cdef struct Origin:
    sockaddr_storage *addresses
    socklen_t *lengths
    uint32_t count
    const TlsShared *terms      # NULL: without TLS


# What an answer with a Location leads to.
cdef struct Hop:
    Hop *next                   # in its bucket
    uint64_t from_id            # of the message that was answered; a number is never given twice
    uint8_t *location
    uint32_t location_bytes
    uint16_t status
    Message message
    PyObject *data              # of the message
    uint32_t origin
    uint32_t users              # requests that are on it
    int end                     # FOLLOWED, NOT_FOLLOWED, or the error kind that it ends in
