# A request as bytes, and what its head says of how it is sent.

cdef struct Message:
    const uint8_t *data
    size_t bytes
    size_t head_bytes           # of a request whose body waits for 100 (Continue); 0: head and body are sent at once
    uint64_t id                 # its index in the plan; redirects have ids above those
    bint head                   # its response has no content, as to HEAD
    bint closes                 # it asks the server to close the connection
    bint idempotent             # processing it twice has no further effect (RFC 9110, 9.2.2)

# A connection's own copy of a message, rendered from a template.
cdef struct RenderedMessage:
    Message message
    uint8_t *data
    size_t room


cdef size_t waiting_head_bytes(bytes data):
    """The length of a rendered request's head if its body waits for 100 (Continue); else 0."""
    end = data.find(b"\r\n\r\n") + 4
    return end if len(data) > end and head_expects_continue(data[:end]) else 0


cdef bint head_expects_continue(bytes text):
    return b"\r\nexpect: 100-continue\r\n" in text.lower()


cdef bint head_closes(bytes text):
    """Whether a head has `Connection: close` (RFC 9112, 9.6)."""
    end = text.find(b"\r\n\r\n")
    for line in text[:end if end > 0 else len(text)].lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"connection" and b"close" in [each.strip() for each in value.split(b",")]:
            return True
    return False


cdef message_set(Message *message, bytes data, bint http2):
    """Let a message be rendered bytes, which the caller keeps alive."""
    message.data = <const uint8_t *> <const char *> data
    message.bytes = <size_t> len(data)
    message.head_bytes = 0 if http2 else waiting_head_bytes(data)
    message.closes = not http2 and head_closes(data)
