# What is sent, and to whom: the plan's requests, and those that redirects lead to.

from cpython.object cimport PyObject


cdef enum SegmentKind:
    SEGMENT_TEXT
    SEGMENT_SEQ                 # the request's number, from 0
    SEGMENT_RAND                # an integer from low to high
    SEGMENT_UUID                # of version 4 (RFC 9562, 5.4)
    SEGMENT_COLUMN              # of the row of the request's number, over and over
    SEGMENT_BODY                # what follows is the body
    SEGMENT_LENGTH              # the body's length in decimal digits
    SEGMENT_STRING              # HTTP/2: the length of the string that the next segments make (RFC 7541, 5.2)
    SEGMENT_FRAME               # HTTP/2: the head of a request as Http2Io takes it, first of all

SEGMENT_NAMES = ("text", "seq", "rand", "uuid", "column", "body", "length", "string", "frame")

cdef enum:
    SEGMENTS_AT_MOST = 512
    SEGMENT_DIGITS = 40         # of a value that is made, at most

cdef struct Segment:
    SegmentKind kind
    const uint8_t *text
    size_t bytes
    int64_t low
    uint64_t span
    uint32_t column
    uint32_t count

cdef struct Template:
    Segment *segments
    uint32_t count
    bint head                   # for HTTP/2: its answers have no content
    bint expects                # that the body waits for 100 (Continue)


# One of the plan's requests, rendered.
cdef struct Message:
    const uint8_t *data
    size_t bytes
    Template *template          # NULL: it is the same each time
    size_t head_bytes           # of a body that waits for 100 (Continue); 0: both are sent at once
    bint head                   # its answers have no body
    uint64_t id                 # its place in the plan; above them: of a redirect
    bint closes                 # it says that it is the last one on its connection
    bint idempotent             # that it is done twice changes nothing (RFC 9110, 9.2.2)


# Whom to connect to. The first one is the plan's target.
cdef struct Origin:
    sockaddr_storage *addresses
    socklen_t *lengths
    uint32_t count
    const TlsShared *terms      # NULL: without TLS
    uint32_t *numbers           # of the addresses among all that the target has had
    TunnelHead tunnel           # without data: none


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


cdef size_t waiting_head_bytes(bytes data):
    """The head of a rendered request whose body waits; 0: it does not."""
    end = data.find(b"\r\n\r\n") + 4
    return end if len(data) > end and head_expects(data[:end]) else 0


cdef bint head_expects(bytes text):
    return b"\r\nexpect: 100-continue\r\n" in text.lower()


cdef list head_texts(list segments):
    """What a template's head has in it, whatever its values."""
    count = segments.index(("body",)) if ("body",) in segments else len(segments)
    return [each[1] for each in segments[:count] if each[0] == "text"]


cdef bint segments_expect(list segments):
    """Whether the body of a template waits."""
    has_body = ("body",) in segments and segments.index(("body",)) < len(segments) - 1
    return has_body and any(head_expects(text) for text in head_texts(segments))


cdef bint head_closes(bytes text):
    """RFC 9112, 9.6: no other request may follow on the connection."""
    end = text.find(b"\r\n\r\n")
    for line in text[:end if end > 0 else len(text)].lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"connection" and b"close" in [each.strip() for each in value.split(b",")]:
            return True
    return False
