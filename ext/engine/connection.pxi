# A connection and the one request that it may carry; and the lists that find what has waited too long.

cdef enum ConnState:
    CONN_CLOSED
    CONN_OPENING
    CONN_IDLE
    CONN_BUSY

# The state of a body that waits for 100 (Continue). Any other body is sent with its head.
cdef enum BodyState:
    BODY_NONE
    BODY_HELD                   # the head is sent, or being sent
    BODY_DUE                    # to be sent as soon as the head is
    BODY_SENT
    BODY_UNWANTED               # the response came first

cdef enum:  # lists; anonymous, since they index arrays
    LIST_EXPECTED
    LIST_CONTINUING
    LIST_LIMITED
    LISTS

cdef enum:
    NO_CONN = 0xffffffff


# A connection's links in a list.
cdef struct ConnLink:
    uint32_t older
    uint32_t newer
    bint listed


# A connection; over HTTP/2, one of its streams.
cdef struct Conn:
    uint8_t state               # a ConnState
    uint8_t retries             # of the current message; each redirect starts at 0
    uint8_t redirects           # followed for the current request
    uint8_t other_state         # a ConnState
    uint32_t slot               # in use now; without a request, the one that leads to the target
    uint32_t origin             # that `slot` leads to
    uint32_t address            # its number among the target's
    uint32_t generation         # of the target's addresses when the connection was opened
    uint32_t other_origin       # of the second slot, which holds a connection to another origin
    uint32_t other_address
    uint32_t other_generation
    Redirect *redirect          # NULL: the request is the plan's own
    Http1Location location      # from the response
    RenderedMessage rendered
    ConnLink[LISTS] links
    uint8_t body                # a BodyState
    bint head_written           # of a request whose body waits or waited
    int64_t held_since_ns
    bint has_request
    uint32_t request            # which of the plan's requests it is
    MetricsKey key              # what the request counts into
    const Message *message      # in flight, or last sent
    int64_t intended_ns
    int64_t sent_ns             # when heyfleet began to write it, or to connect for it
    int64_t waiting_since_ns    # when its timeout began to run
    int64_t connect_began_ns
    int64_t connect_ns          # how long connecting took; 0: the request found an open connection
    int64_t ready_ns            # when the connection could be written to
    int64_t written_ns          # 0: not yet
    int64_t first_byte_ns       # 0: not yet
    Http1 parser

# What a step means for whoever decides what is sent next.
cdef enum ConnEvent:
    CONN_EVENT_NONE
    CONN_EVENT_FREE             # the request has ended; the connection is idle or closed
    CONN_EVENT_OPENED           # a connection without a request is open
    CONN_EVENT_NOT_OPENED       # a connection without a request could not be opened, and is closed


# What is left of an event whose content was more work to decode than a turn may do. Until it is read, no other event is taken.
cdef struct Unread:
    uint8_t *data               # a copy, since the backend will overwrite it; NULL: there was never any
    size_t bytes                # 0: nothing is left
    uint32_t index              # of its connection


cdef bint unread_keep(Unread *unread, uint32_t index, const uint8_t *data, size_t bytes) noexcept nogil:
    """Keep bytes for the next turn. False: no memory."""
    if unread.data == NULL:
        unread.data = <uint8_t *> malloc(TLS_STASH_BYTES)
        if unread.data == NULL:
            return False
    memmove(unread.data, data, bytes)  # it may be there already
    unread.bytes, unread.index = bytes, index
    return True


# Connections in the order in which their wait began. All waits of a list are equally long, so that the oldest expires first.
cdef struct ConnList:
    uint32_t oldest
    uint32_t newest


cdef inline void conn_list_init(ConnList *list) noexcept nogil:
    list.oldest = list.newest = NO_CONN


cdef inline void conn_list_append(ConnList *list, Conn *conns, uint32_t index, int kind) noexcept nogil:
    cdef ConnLink *link = &conns[index].links[kind]
    link.older = list.newest
    link.newer = NO_CONN
    link.listed = True
    if list.newest != NO_CONN:
        conns[list.newest].links[kind].newer = index
    else:
        list.oldest = index
    list.newest = index


cdef inline void conn_list_remove(ConnList *list, Conn *conns, uint32_t index, int kind) noexcept nogil:
    """Remove a connection, if it is listed."""
    cdef ConnLink *link = &conns[index].links[kind]
    if not link.listed:
        return
    if link.older != NO_CONN:
        conns[link.older].links[kind].newer = link.newer
    else:
        list.oldest = link.newer
    if link.newer != NO_CONN:
        conns[link.newer].links[kind].older = link.older
    else:
        list.newest = link.older
    link.listed = False
