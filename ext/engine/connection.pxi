# A connection, or a place on one, and the one request that it may carry; and the list that finds the requests that take too long.

cdef enum ConnState:
    CONN_CLOSED
    CONN_OPENING
    CONN_IDLE
    CONN_BUSY

# Of a body that waits for the server's word; all others are sent with their heads.
cdef enum BodyState:
    BODY_NONE
    BODY_HELD                   # the head is sent, or being sent
    BODY_DUE                    # as soon as the head is sent
    BODY_SENT
    BODY_UNWANTED               # the answer came before it

cdef enum:  # lists; anonymous, since they index arrays
    LIST_EXPECTED
    LIST_CONTINUING
    LISTS

cdef enum:
    NO_CONN = 0xffffffff


# A connection's place in a list.
cdef struct ConnLink:
    uint32_t older              # neighbours
    uint32_t newer
    bint listed


# A connection; over HTTP/2, one of the streams that a connection carries at a time.
cdef struct Conn:
    uint8_t state               # of ConnState
    uint8_t retries          # how often the message was sent once more; each redirect begins anew
    uint8_t redirects           # that were followed for the request
    uint8_t other_state         # of ConnState
    uint32_t slot               # in use now; while no request is under way, the one that leads to the target
    uint32_t origin             # that it leads to
    uint32_t address            # its number among the target's
    uint32_t generation         # of addresses, when it was opened
    uint32_t other_origin       # of the second slot, which holds a connection to another origin
    uint32_t other_address
    uint32_t other_generation
    Hop *hop                    # NULL: the request is the plan's own
    Http1Kept kept              # the Location of an answer
    Message own                 # of a template: rendered for this request
    uint8_t *rendered
    size_t room
    ConnLink[LISTS] links       # of the lists of those that can time out
    uint8_t body                # of BodyState
    bint head_written           # of a body that waits or waited
    int64_t held_since_ns
    bint has_request
    bint warm                   # the request is one of the warm-up
    uint32_t request            # which of the plan's requests it is
    const Message *message      # as it is sent
    uint32_t part               # its stage and request
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
