# The error kinds: the ends of a request other than a status code.

from heyfleet.ext.c_posix cimport (
    EADDRINUSE, EAGAIN, ENOENT, EADDRNOTAVAIL, ECONNABORTED, ECONNREFUSED, ECONNRESET, EHOSTUNREACH, EMFILE, ENETUNREACH, ENFILE,
    EPIPE, ETIMEDOUT,
)

cdef enum:  # error kinds; anonymous, since they index arrays
    ERROR_CONNECT_REFUSED
    ERROR_CONNECT_TIMEOUT
    ERROR_CONNECT_UNREACHABLE
    ERROR_NO_LOCAL_PORT
    ERROR_NO_FILE_DESCRIPTOR
    ERROR_RESET
    ERROR_CLOSED_EARLY
    ERROR_REQUEST_TIMEOUT
    ERROR_BAD_RESPONSE
    ERROR_HEADER_TOO_LARGE
    ERROR_TLS_EXPIRED
    ERROR_TLS_NAME
    ERROR_TLS_AUTHORITY
    ERROR_TLS_CERTIFICATE
    ERROR_TLS_REFUSED
    ERROR_TLS_PROTOCOL
    ERROR_TLS_CLOSED
    ERROR_TLS_PROTOCOLS
    ERROR_H2_PROTOCOL
    ERROR_H2_RESET
    ERROR_H2_REFUSED
    ERROR_REDIRECTS
    ERROR_REDIRECT_BAD
    ERROR_REDIRECT_FORBIDDEN
    ERROR_REDIRECT_UNKNOWN
    ERROR_PROXY_REFUSED
    ERROR_PROXY_AUTHENTICATION
    ERROR_PROXY_CLOSED
    ERROR_PROXY_PROTOCOL
    ERROR_CONTENT_BROKEN
    ERROR_CONTENT_UNKNOWN
    ERROR_CONTENT_TOO_LARGE
    ERROR_OTHER
    ERROR_KINDS

# In the order of the kinds; these names go to the wire and to reports.
ERROR_NAMES = (
    "connect refused",
    "connect timeout",
    "connect unreachable",
    "no local port",
    "no file descriptor",
    "reset",
    "closed early",
    "request timeout",
    "bad response",
    "header too large",
    "TLS: certificate expired",
    "TLS: certificate of another name",
    "TLS: certificate of an unknown authority",
    "TLS: certificate not accepted",
    "TLS: refused by the server",
    "TLS: protocol error",
    "TLS: closed in the handshake",
    "TLS: protocol not agreed on",
    "HTTP/2: protocol error",
    "HTTP/2: stream reset by the server",
    "HTTP/2: refused by the server",
    "redirect: more than ten",
    "redirect: to no usable address",
    "redirect: not allowed by the owner of the agent",
    "redirect: to an unknown host",
    "proxy: refused the tunnel",
    "proxy: authentication required",
    "proxy: closed before it answered",
    "proxy: protocol error",
    "bad content: broken coding",
    "bad content: unknown coding",
    "bad content: too large when decoded",
    "other",
)

cdef enum:
    # A failure of TLS, HTTP/2 or a proxy in an io event is this, above every errno, plus its error kind.
    TLS_FAILURE = 10000


cdef inline bint send_met_reset(int64_t result) noexcept nogil:
    """Whether a send has failed because the peer has closed or reset the connection.

    That alone ends nothing: what the peer said before, such as an early answer, is still to be read, and after it the stream ends.
    Who reads the stream learns then what became of the connection.
    """
    return result == -ECONNRESET or result == -EPIPE


cdef int error_from_errno(int error) noexcept nogil:
    """The error kind of a positive errno, or of a failure of TLS, HTTP/2 or a proxy."""
    if error >= TLS_FAILURE:
        return error - TLS_FAILURE
    if error == ECONNREFUSED:
        return ERROR_CONNECT_REFUSED
    if error == ECONNRESET or error == EPIPE or error == ECONNABORTED:
        return ERROR_RESET
    if error == EADDRNOTAVAIL or error == EADDRINUSE:
        return ERROR_NO_LOCAL_PORT
    if error == EMFILE or error == ENFILE:
        return ERROR_NO_FILE_DESCRIPTOR
    if error == ENETUNREACH or error == EHOSTUNREACH or error == ENOENT:
        return ERROR_CONNECT_UNREACHABLE
    if error == ETIMEDOUT:
        return ERROR_CONNECT_TIMEOUT
    return ERROR_OTHER


cdef int error_from_connect(int error) noexcept nogil:
    """The error kind of a failed connect. A reset in response to one is a refusal."""
    # EAGAIN: a unix socket whose backlog is full.
    if error == ECONNRESET or error == ECONNABORTED or error == EAGAIN:
        return ERROR_CONNECT_REFUSED
    return error_from_errno(error)
