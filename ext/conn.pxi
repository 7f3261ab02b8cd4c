# A connection, or a place on one, and the one request that it may carry; and the list that finds the requests that take too long.

cdef enum ConnState:
    CONN_CLOSED
    CONN_OPENING
    CONN_IDLE
    CONN_BUSY

cdef enum:
    NO_CONN = 0xffffffff


# A connection; over HTTP/2, one of the streams that a connection carries at a time.
cdef struct Conn:
    uint8_t state               # of ConnState
    uint8_t sent_again          # how often the request was sent once more
    uint8_t redirects           # that were followed for the request
    uint8_t other_state         # of ConnState: of the second slot, which holds a connection to another origin
    uint32_t slot               # in use now
    uint32_t origin             # that it leads to
    uint32_t other_origin
    uint32_t address            # its number among the target's
    uint32_t generation         # of addresses, when it was opened
    Hop *hop                    # NULL: the request is the plan's own
    Http1Kept kept              # the Location of an answer
    Message own                 # of a template: rendered for this request
    uint8_t *rendered
    size_t room
    bint has_request
    bint listed                 # in the list of timeouts
    bint warm                   # the request is one of the warm-up
    uint32_t request            # which of the plan's requests it is
    const Message *message      # as it is sent
    uint32_t part               # its stage and request
    uint32_t older              # neighbours in that list
    uint32_t newer
    uint64_t ticks_waiting      # with ticks of its own: those that are due and not begun
    uint64_t next_tick          # the worker's tick that the next of them has
    int64_t ends_ns             # of its user
    uint64_t random             # of its user's thinking
    int64_t intended_ns
    int64_t sent_ns             # when we acted on the request: began to connect or to write
    int64_t waiting_since_ns    # when its time began to run
    int64_t connect_began_ns
    int64_t connect_took_ns     # 0: the request met an open connection
    int64_t ready_ns            # when the connection could be written to
    int64_t written_ns          # 0: not yet
    int64_t first_byte_ns       # 0: not yet
    Http1 parser


cdef struct ConnList:
    # Ordered by the instant at which the wait began, since every wait is given the same time: the first is the next to expire.
    uint32_t oldest
    uint32_t newest


cdef inline void conn_list_append(ConnList *list, Conn *conns, uint32_t index) noexcept nogil:
    cdef Conn *conn = &conns[index]
    conn.older = list.newest
    conn.newer = NO_CONN
    conn.listed = True
    if list.newest != NO_CONN:
        conns[list.newest].newer = index
    else:
        list.oldest = index
    list.newest = index


cdef inline void conn_list_remove(ConnList *list, Conn *conns, uint32_t index) noexcept nogil:
    cdef Conn *conn = &conns[index]
    if not conn.listed:
        return
    if conn.older != NO_CONN:
        conns[conn.older].newer = conn.newer
    else:
        list.oldest = conn.newer
    if conn.newer != NO_CONN:
        conns[conn.newer].older = conn.older
    else:
        list.newest = conn.older
    conn.listed = False
