# The elements of HTTP/2 (RFC 9113): frames, settings, error codes; connections and their streams.

cdef enum H2Frame:
    H2_DATA
    H2_HEADERS
    H2_PRIORITY
    H2_RST_STREAM
    H2_SETTINGS
    H2_PUSH_PROMISE
    H2_PING
    H2_GOAWAY
    H2_WINDOW_UPDATE
    H2_CONTINUATION

cdef enum H2Flag:
    H2_END_STREAM = 0x01
    H2_ACK = 0x01
    H2_END_HEADERS = 0x04
    H2_PADDED = 0x08
    H2_WITH_PRIORITY = 0x20

cdef enum H2Setting:
    H2_TABLE_BYTES = 1
    H2_PUSH = 2
    H2_MAX_STREAMS = 3
    H2_INITIAL_WINDOW = 4
    H2_MAX_FRAME = 5

cdef enum H2Code:
    H2_NO_ERROR = 0
    H2_PROTOCOL_ERROR = 1
    H2_REFUSED_STREAM = 7
    H2_CANCEL = 8

cdef enum:
    H2_HEAD_BYTES = 9
    H2_FRAME_BYTES = 16384          # of payload at most, until settings allow more
    H2_FRAME_LIMIT_BYTES = 16777215
    H2_WINDOW_BYTES = 0x40000000    # that heyfleet grants to each stream and connection
    H2_WINDOW_START_BYTES = 65535
    H2_WINDOW_LIMIT_BYTES = 0x7fffffff
    H2_STREAMS_START = 100          # begun at most before the server has said how many it allows
    H2_LAST_ID = 0x7fffffff
    H2_BLOCK_LIMIT_BYTES = 65536    # of all header fields of a response, as over HTTP/1
    H2_AHEAD_BYTES = 65536          # of output before the inner backend has taken it
    H2_FLOOD_BYTES = 1048576        # of replies to a peer that keeps asking and reads nothing

# A request as it is rendered before the run: a head of four-byte numbers, its fields as frames in three forms, its body.
cdef enum:
    H2_REQUEST_TABLE = 0            # the size of the peer's table that the first two forms need
    H2_REQUEST_FIRST = 4            # length of the frames: for the first request on a connection,
    H2_REQUEST_LATER = 8            # for later ones,
    H2_REQUEST_PLAIN = 12           # and for a peer without such a table
    H2_REQUEST_HEAD_BYTES = 16
    # In place of the table's size: the first form adds nothing to it.
    H2_REQUEST_UNPRIMED = 0x7fffffff
    # In place of the stream's id: the response has no content.
    H2_HEAD_REQUEST = 1


cdef enum H2State:
    H2_CLOSED
    H2_CONNECTING
    H2_OPEN
    H2_DRAINING                     # takes no new streams, and ends with the last one

cdef enum H2StreamState:
    STREAM_CLOSED
    STREAM_WAITING                  # for the connection
    STREAM_IDLE
    STREAM_QUEUED                     # for the server to allow one more stream
    STREAM_BUSY

cdef enum H2Event:
    H2_EVENT_NONE
    H2_EVENT_CONNECT
    H2_EVENT_RECEIVED
    H2_EVENT_ANSWER


# A slot, as the caller sees it: it carries one request at a time, each as a new stream of its connection.
cdef struct H2Stream:
    uint8_t state                   # an H2StreamState
    uint8_t event                   # an H2Event that waits for the caller
    bint listed                     # among the streams with such an event
    bint joined                     # the event is of a connection that another stream opened
    bint no_content                 # the response has none, as to HEAD
    uint16_t status                 # of the response; 0: its head has not come yet
    uint32_t connection                # the connection; NO_SLOT: none
    uint32_t id                     # of the stream
    uint32_t last_batch             # the batch with the last byte of the request; 0: none yet
    uint32_t next_pending
    uint32_t next_queued
    uint32_t last_queued
    uint32_t unreturned_bytes       # received and not yet returned to the stream's window
    const uint8_t *request
    size_t request_bytes
    const uint8_t *body             # the rest that is not sent yet
    size_t body_left
    int64_t credit                  # the server's window for what heyfleet sends, beyond the initial one of its connection
    uint32_t fields_bytes           # of the blocks so far, interim ones too
    uint64_t body_bytes
    int64_t content_length          # -1: unknown
    int64_t sent_ns
    int64_t first_ns                # first byte of the response
    int64_t event_ns
    int64_t event_result


# A connection. Two of them share the same slots: while one is drained, the other takes new streams.
cdef struct H2Connection:
    H2State state
    bint sending                    # a batch is with the inner backend
    bint dirty                      # listed among those with output
    bint settled                    # the server's settings have come
    bint broken                     # the server has violated the protocol
    bint unblocked                  # bodies may go on: a window has grown
    bint primed                     # its table holds the fields that requests share
    uint32_t table_bytes            # the smallest size that it has allowed for the table
    uint32_t attached               # streams, open or not, that use the connection
    uint32_t open_streams
    uint32_t allowed                # at a time
    uint32_t first_queued
    uint32_t last_queued
    uint32_t next_id
    uint32_t last_id                # the last one that the server will answer, after GOAWAY
    uint32_t blocked                # streams whose body waits for the server's windows or for room
    uint32_t max_frame_bytes
    int64_t window
    int64_t initial_window
    uint32_t unreturned_bytes
    int64_t last_received_ns
    int64_t connected_ns
    int64_t handshake_ns
    bint resumed
    const sockaddr *address         # of a stream that waits for the connection to be closed and opened anew
    socklen_t address_bytes
    const sockaddr *source
    # Output: frames for the next batch, and the batch that is with the inner backend.
    uint8_t *out
    size_t out_bytes
    size_t out_room
    uint8_t *batch_data
    size_t batch_room
    uint32_t next_batch             # numbers of both
    uint32_t batch
    uint32_t *ending                 # streams whose requests end in the next batch
    uint32_t ending_count
    uint32_t *sent                  # streams whose requests end in the batch that is being sent
    uint32_t sent_count
    uint64_t sent_bytes             # not reported to the caller yet
    # Input: the frame that is being read.
    uint8_t[H2_HEAD_BYTES] head
    uint32_t head_bytes
    uint8_t type
    uint8_t flags
    uint32_t id
    uint32_t left_bytes             # of its payload
    uint32_t padding_bytes
    bint padded                     # the length of the padding has not been read yet
    uint8_t *partial                   # a payload that has not come as a whole yet
    uint32_t partial_bytes
    uint32_t partial_room
    uint8_t *block
    uint32_t block_bytes
    uint32_t block_room
    uint32_t block_id               # the stream whose block continues; 0: none
    bint block_ends                 # and with it the response
    uint64_t received_bytes         # not reported to the caller yet


cdef bint h2_append(uint8_t **buffer, uint32_t *used, uint32_t *room, uint32_t needed, const uint8_t *data,
                    uint32_t bytes) noexcept nogil:
    """Append to a buffer, which grows to the bytes needed. False: no memory."""
    cdef void *grown
    if room[0] < needed:
        grown = realloc(buffer[0], needed)
        if grown == NULL:
            return False
        buffer[0] = <uint8_t *> grown
        room[0] = needed
    memcpy(buffer[0] + used[0], data, bytes)
    used[0] += bytes
    return True


cdef inline uint32_t h2_uint32(const uint8_t *at) noexcept nogil:
    return <uint32_t> at[0] << 24 | <uint32_t> at[1] << 16 | <uint32_t> at[2] << 8 | at[3]


cdef inline const uint8_t *h2_body_of(const uint8_t *request) noexcept nogil:
    """Where the body of a rendered request begins."""
    return (request + H2_REQUEST_HEAD_BYTES + h2_uint32(request + H2_REQUEST_FIRST) + h2_uint32(request + H2_REQUEST_LATER)
            + h2_uint32(request + H2_REQUEST_PLAIN))


cdef inline void h2_put_uint32(uint8_t *at, uint32_t value) noexcept nogil:
    at[0] = <uint8_t> (value >> 24)
    at[1] = <uint8_t> (value >> 16)
    at[2] = <uint8_t> (value >> 8)
    at[3] = <uint8_t> value


cdef inline void h2_put_head(uint8_t *at, uint32_t bytes, uint8_t type, uint8_t flags, uint32_t id) noexcept nogil:
    """Write the head of a frame (4.1)."""
    at[0] = <uint8_t> (bytes >> 16)
    at[1] = <uint8_t> (bytes >> 8)
    at[2] = <uint8_t> bytes
    at[3] = type
    at[4] = flags
    h2_put_uint32(at + 5, id)


def _h2_frame(type, flags, id, payload):
    return len(payload).to_bytes(3, "big") + bytes([type, flags]) + id.to_bytes(4, "big") + payload


def _h2_setting(name, value):
    return name.to_bytes(2, "big") + value.to_bytes(4, "big")


# The connection preface (3.4): responses must not need a table, nothing is pushed, and flow control delays nothing.
cdef bytes h2_opening_bytes = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + _h2_frame(H2_SETTINGS, 0, 0, _h2_setting(H2_TABLE_BYTES, 0) + _h2_setting(H2_PUSH, 0)
                + _h2_setting(H2_INITIAL_WINDOW, H2_WINDOW_BYTES))
    + _h2_frame(H2_WINDOW_UPDATE, 0, 0, (H2_WINDOW_BYTES - H2_WINDOW_START_BYTES).to_bytes(4, "big"))
)
cdef const uint8_t *h2_opening = h2_opening_bytes
cdef size_t h2_opening_length = len(h2_opening_bytes)


def http2_request(fields, bytes body not None, bint head, tuple shared=()):
    """Render a request for Http2Io. Documented in _core.pyi."""
    fields = list(fields)
    table_bytes = sum(len(name) + len(value) + HPACK_ENTRY_BYTES for name, value in shared)
    plain = hpack_encode(fields)
    if shared:
        first, later = hpack_encode(fields, shared, insert=True), hpack_encode(fields, shared)
    else:
        first, later, table_bytes = plain, plain, H2_REQUEST_UNPRIMED
    # The last form sets a table of size 0 (RFC 7541, 6.3).
    forms = [_h2_fields(block, bool(body), head) for block in (first, later, b"\x20" + plain)]
    return b"".join([number.to_bytes(4, "big") for number in (table_bytes, *map(len, forms))] + forms + [body])


def _h2_fields(block, bint body, bint head):
    """Frame a block of fields as HEADERS and CONTINUATION (6.2, 6.10)."""
    pieces = [block[at : at + H2_FRAME_BYTES] for at in range(0, len(block), H2_FRAME_BYTES)] or [b""]
    frames = bytearray()
    for number, piece in enumerate(pieces):
        flags = H2_END_HEADERS if number == len(pieces) - 1 else 0
        if number == 0 and not body:
            flags |= H2_END_STREAM
        frames += _h2_frame(H2_CONTINUATION if number else H2_HEADERS, flags, H2_HEAD_REQUEST if head else 0, piece)
    return bytes(frames)
