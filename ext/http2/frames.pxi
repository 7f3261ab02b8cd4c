# What HTTP/2 is made of (RFC 9113): frames, settings, errors; a connection, and the lanes whose requests it carries as streams.

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
    H2_FRAME_BYTES = 16384          # of payload, at most, until settings say more
    H2_FRAME_LIMIT_BYTES = 16777215
    H2_WINDOW_BYTES = 0x40000000    # that we grant, a stream and a connection
    H2_WINDOW_START_BYTES = 65535
    H2_WINDOW_LIMIT_BYTES = 0x7fffffff
    H2_STREAMS_START = 100          # that we begin before the server has said how many it allows
    H2_LAST_ID = 0x7fffffff
    H2_BLOCK_LIMIT_BYTES = 65536    # of all header fields of an answer, as HTTP/1's
    H2_AHEAD_BYTES = 65536          # of frames made before the inner backend has taken them
    H2_FLOOD_BYTES = 1048576        # of answers to a peer that asks and asks, and reads nothing

# A request as it was rendered before the run: a head of numbers of four bytes, its fields as frames in three ways, its body.
cdef enum:
    H2_REQUEST_TABLE = 0            # the size of the peer's table that the first two ways need
    H2_REQUEST_FIRST = 4            # how long the frames are: of the first request on a connection,
    H2_REQUEST_LATER = 8            # of later ones,
    H2_REQUEST_PLAIN = 12           # and where the peer has no such table
    H2_REQUEST_HEAD_BYTES = 16
    # In the place of the table: the first way puts nothing there.
    H2_REQUEST_UNPRIMED = 0x7fffffff
    # In the place of the stream: answers have no content.
    H2_HEAD_REQUEST = 1


cdef enum H2State:
    H2_CLOSED
    H2_CONNECTING
    H2_OPEN
    H2_DRAINING                     # carries its streams to their ends, and no new ones

cdef enum H2LaneState:
    LANE_CLOSED
    LANE_WAITING                    # for the connection
    LANE_IDLE
    LANE_QUEUED                     # for the server to allow one more stream
    LANE_BUSY

cdef enum H2Told:
    TOLD_NOTHING
    TOLD_CONNECT
    TOLD_RECEIVED
    TOLD_ANSWER


# One request at a time, as a stream of a connection: what a slot is to the caller.
cdef struct H2Lane:
    uint8_t state                   # of H2LaneState
    uint8_t told                    # of H2Told: an event that waits to be taken
    bint listed                     # among those with such an event
    bint joined                     # the event is of a connection that another lane has opened
    bint no_content                 # the answer to a HEAD request
    uint16_t status                 # of the answer; 0: its head is not in yet
    uint32_t session                # the connection; NO_SLOT: none
    uint32_t id                     # of the stream
    uint32_t flight                 # that took the last byte of the request; 0: none yet
    uint32_t next_told
    uint32_t next_queued
    uint32_t last_queued
    uint32_t unreturned_bytes       # received, and not yet given back to the stream's window
    const uint8_t *request
    size_t request_bytes
    const uint8_t *body             # what is not sent yet
    size_t body_left
    int64_t window                  # the server's, for what we send
    uint64_t body_bytes
    int64_t content_length          # -1: not said
    int64_t sent_ns
    int64_t first_ns                # of the answer
    int64_t told_ns
    int64_t told_result


# A connection. Two of them have the same lanes: while one is drained, the other takes what is new.
cdef struct H2Session:
    H2State state
    bint sending                    # frames are with the inner backend
    bint dirty                      # listed among those with frames to give it
    bint settled                    # the server's settings are in
    bint primed                     # its table holds what our requests share
    uint32_t table_bytes            # the least that it has allowed for it
    uint32_t lanes                  # that are on it
    uint32_t streams
    uint32_t allowed                # streams at a time
    uint32_t first_queued
    uint32_t last_queued
    uint32_t next_id
    uint32_t last_id                # that the server will answer, once it is going away
    uint32_t blocked                # lanes with a body that waits for the server's windows or for room
    uint32_t max_frame_bytes
    int64_t window
    int64_t initial_window
    uint32_t unreturned_bytes
    int64_t heard_ns
    int64_t connected_ns
    int64_t handshake_ns
    bint resumed
    const sockaddr *address         # of a lane that waits for it to be closed and opened anew
    socklen_t address_bytes
    const sockaddr *source
    # Out.
    uint8_t *made
    size_t made_bytes
    size_t made_room
    uint8_t *flying
    size_t flying_room
    uint32_t flight                 # the number of what is being made
    uint32_t flown                  # of what is with the inner backend
    uint32_t *ended                 # lanes whose requests end in what is being made, and in what flies
    uint32_t ended_count
    uint32_t *landing
    uint32_t landing_count
    uint64_t sent_bytes             # not reported yet
    # In: the frame that is read.
    uint8_t[H2_HEAD_BYTES] head
    uint32_t head_bytes
    uint8_t type
    uint8_t flags
    uint32_t id
    uint32_t left_bytes             # of its payload
    uint32_t padding_bytes
    bint padded                     # the length of the padding is still to be read
    uint8_t *held                   # a payload that is not whole yet, or a block of fields
    uint32_t held_bytes
    uint32_t held_room
    uint8_t *block
    uint32_t block_bytes
    uint32_t block_room
    uint32_t block_id               # the stream whose block goes on; 0: none
    bint block_ends                 # and with it the answer
    uint64_t received_bytes         # not reported yet


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
    """The head of a frame (4.1)."""
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


# What a client says first (3.4): answers are to need no table, nothing is to be pushed, and flow control is to hold nobody up.
cdef bytes h2_opening_bytes = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + _h2_frame(H2_SETTINGS, 0, 0, _h2_setting(H2_TABLE_BYTES, 0) + _h2_setting(H2_PUSH, 0)
                + _h2_setting(H2_INITIAL_WINDOW, H2_WINDOW_BYTES))
    + _h2_frame(H2_WINDOW_UPDATE, 0, 0, (H2_WINDOW_BYTES - H2_WINDOW_START_BYTES).to_bytes(4, "big"))
)
cdef const uint8_t *h2_opening = h2_opening_bytes
cdef size_t h2_opening_length = len(h2_opening_bytes)


def http2_request(fields, bytes body not None, bint head, tuple shared=()):
    """A request as Http2Io sends it over and over: its (name, value) fields as frames, then the bare body.

    `head`: its answers have no content. `shared`: the fields of hpack_shared of all requests of an engine. The stream's
    number and the framing of the body are put in when it is sent.
    """
    fields = list(fields)
    table_bytes = sum(len(name) + len(value) + HPACK_ENTRY_BYTES for name, value in shared)
    plain = hpack_encode(fields)
    if shared:
        first, later = hpack_encode(fields, shared, insert=True), hpack_encode(fields, shared)
    else:
        first, later, table_bytes = plain, plain, H2_REQUEST_UNPRIMED
    # The last way sets a table of size 0 (RFC 7541, 6.3).
    ways = [_h2_fields(block, bool(body), head) for block in (first, later, b"\x20" + plain)]
    return b"".join([number.to_bytes(4, "big") for number in (table_bytes, *map(len, ways))] + ways + [body])


def _h2_fields(block, bint body, bint head):
    """A block of fields as HEADERS and CONTINUATION frames (6.2, 6.10)."""
    pieces = [block[at : at + H2_FRAME_BYTES] for at in range(0, len(block), H2_FRAME_BYTES)] or [b""]
    frames = bytearray()
    for number, piece in enumerate(pieces):
        flags = H2_END_HEADERS if number == len(pieces) - 1 else 0
        if number == 0 and not body:
            flags |= H2_END_STREAM
        frames += _h2_frame(H2_CONTINUATION if number else H2_HEADERS, flags, H2_HEAD_REQUEST if head else 0, piece)
    return bytes(frames)
