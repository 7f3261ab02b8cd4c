# Tunnels through an HTTP proxy inside the io contract (RFC 9110, 9.3.6): a backend on top of another one. A connect is complete
# when the proxy has answered CONNECT with 2xx; from then on bytes are the caller's.

cdef enum TunnelState:
    TUNNEL_NONE                 # closed, or a connection without a tunnel
    TUNNEL_CONNECTING
    TUNNEL_ASKING
    TUNNEL_OPEN


# The head of a CONNECT request, which asks a proxy for a tunnel.
cdef struct TunnelHead:
    const uint8_t *data
    size_t bytes


cdef struct TunnelSlot:
    const TunnelHead *head      # without bytes: no tunnel, bytes pass unchanged
    TunnelState state
    bint asking                 # the head is with the inner backend
    const uint8_t *data         # of a send of the caller that waits for that; NULL: none
    size_t bytes
    Http1 answer


@final
cdef class TunnelIo(Io):
    """Tunnels over another backend. Documented in _core.pyi."""

    cdef:
        Io inner
        TunnelHead head
        TunnelHead none
        bytes head_object
        dict heads                  # of slots with a head of their own, from Python
        TunnelSlot *table
        uint32_t slots
        uint8_t *stash              # bytes that followed the proxy's response
        size_t stash_bytes
        uint32_t stashed            # the slot that they belong to, or NO_SLOT
        int64_t stashed_ns

    def __cinit__(self, Io inner not None, bytes head not None):
        self.inner = inner
        self.work = inner.work
        self.head_object = head
        self.head.data = head
        self.head.bytes = <size_t> len(head)
        self.heads = {}
        self.stashed = NO_SLOT

    def __dealloc__(self):
        self.shut()

    def lead(self, uint32_t slot, bytes head not None):
        """Set how the next connection on a closed slot asks for its tunnel. Raises MemoryError and ValueError."""
        cdef TunnelHead *own
        if slot >= self.slots:
            raise ValueError(f"slot {slot} is none of {self.slots}")
        memory = bytearray(sizeof(TunnelHead))
        own = <TunnelHead *> <char *> memory
        own.data = head
        own.bytes = <size_t> len(head)
        self.heads[slot] = (head, memory)
        self.lead_by(slot, own)

    cdef int open(self, uint32_t slots) noexcept nogil:
        cdef uint32_t slot
        cdef int result = self.inner.open(slots)
        if result == 0:
            result = self.adopt(slots)
        if result < 0:
            self.shut()
            return result
        for slot in range(slots):
            self.table[slot].head = &self.head
        return 0

    cdef int adopt(self, uint32_t slots) noexcept nogil:
        """Take over an inner backend that is open. Its connections go on without tunnels."""
        cdef uint32_t slot
        self.table = <TunnelSlot *> calloc(slots, sizeof(TunnelSlot))
        self.stash = <uint8_t *> malloc(TLS_STASH_BYTES)
        if self.table == NULL or self.stash == NULL:
            return -ENOMEM
        self.slots = slots
        for slot in range(slots):
            self.table[slot].head = &self.none
        return 0

    cdef void lead_by(self, uint32_t slot, const TunnelHead *head) noexcept nogil:
        """Set how the next connection on a closed slot asks for its tunnel; without data it has none."""
        self.table[slot].head = head

    cdef void shut(self) noexcept nogil:
        if self.inner is not None:
            self.inner.shut()
        free(self.table)
        free(self.stash)
        self.table = NULL
        self.stash = NULL
        self.slots = 0
        self.stashed = NO_SLOT

    cdef int64_t now(self) noexcept nogil:
        return self.inner.now()

    cdef int64_t kernel_latency_ns(self, uint32_t slot) noexcept nogil:
        return self.inner.kernel_latency_ns(slot)

    cdef void connect(
        self, uint32_t slot, const sockaddr *address, socklen_t length, const sockaddr *source
    ) noexcept nogil:
        self.table[slot].state = TUNNEL_CONNECTING if self.table[slot].head.bytes > 0 else TUNNEL_NONE
        self.inner.connect(slot, address, length, source)

    cdef void send(self, uint32_t slot, const uint8_t *data, size_t length) noexcept nogil:
        if self.table[slot].asking:
            # The proxy has answered before the send of the head was reported.
            self.table[slot].data = data
            self.table[slot].bytes = length
        else:
            self.inner.send(slot, data, length)

    cdef void close(self, uint32_t slot) noexcept nogil:
        cdef TunnelSlot *at = &self.table[slot]
        at.state = TUNNEL_NONE
        at.asking = False
        at.data = NULL
        if self.stashed == slot:
            self.stashed = NO_SLOT
        self.inner.close(slot)

    cdef int wait(self, int64_t deadline_ns) noexcept nogil:
        return self.inner.wait(0 if self.stashed != NO_SLOT else deadline_ns)

    cdef bint next(self, IoEvent *event) noexcept nogil:
        if self.stashed != NO_SLOT and self.work.left > 0:
            event.slot = self.stashed
            event.op = IO_RECV
            event.result = <int64_t> self.stash_bytes
            event.data = self.stash
            event.time_ns = self.stashed_ns
            self.stashed = NO_SLOT
            return True
        while self.inner.next(event):
            if self.on_inner_event(&self.table[event.slot], event):
                return True
        return False

    cdef inline bint on_inner_event(self, TunnelSlot *at, IoEvent *event) noexcept nogil:
        """Handle an event of the inner backend; return whether it is now one for the caller."""
        if at.state == TUNNEL_NONE:
            return True
        if event.op == IO_SEND:
            return self.sent(at, event)
        if event.op == IO_RECV:
            return self.answered(at, event) if at.state == TUNNEL_ASKING else True
        if event.result < 0:
            return True
        at.state = TUNNEL_ASKING
        at.asking = True
        http1_start(&at.answer, True, NULL)  # as after HEAD, no response has content
        self.inner.send(event.slot, at.head.data, at.head.bytes)
        return False

    cdef bint sent(self, TunnelSlot *at, IoEvent *event) noexcept nogil:
        cdef const uint8_t *data = at.data
        if not at.asking:
            return True
        at.asking = False
        at.data = NULL
        if send_met_reset(event.result) and at.state == TUNNEL_ASKING:
            return False  # the proxy may have answered before
        if event.result < 0:
            return self.failed(event, ERROR_PROXY_CLOSED) if at.state == TUNNEL_ASKING else data != NULL
        if data != NULL:
            self.inner.send(event.slot, data, at.bytes)
        return False

    cdef bint answered(self, TunnelSlot *at, IoEvent *event) noexcept nogil:
        """Read more of the proxy's response; return whether that ends the connect."""
        cdef size_t consumed = 0
        cdef Http1Result result
        if event.result <= 0:
            return self.failed(event, ERROR_PROXY_CLOSED)
        result = http1_feed(&at.answer, event.data, <size_t> event.result, &consumed)
        if result == HTTP1_MORE:
            return False
        if result != HTTP1_DONE:
            return self.failed(event, ERROR_PROXY_PROTOCOL)
        if at.answer.status == 407:
            return self.failed(event, ERROR_PROXY_AUTHENTICATION)
        if not 200 <= at.answer.status < 300:
            return self.failed(event, ERROR_PROXY_REFUSED)
        self.stash_bytes = <size_t> event.result - consumed
        if self.stash_bytes > 0:
            memcpy(self.stash, event.data + consumed, self.stash_bytes)
            self.stashed = event.slot
            self.stashed_ns = event.time_ns
        at.state = TUNNEL_OPEN
        event.op = IO_CONNECT
        event.result = 0
        event.data = NULL
        return True

    cdef bint failed(self, IoEvent *event, int kind) noexcept nogil:
        event.op = IO_CONNECT
        event.result = -(TLS_FAILURE + kind)
        event.data = NULL
        self.close(event.slot)
        return True
