# The connections of one worker. Each has a slot of the backend; where redirects are followed it has a second one, for an origin
# other than the target. Connections take the addresses and the local addresses in turn.


@final
cdef class ConnectionPool:

    cdef:
        Conn *conns
        uint32_t count              # of connections, times the streams of each
        uint32_t streams            # of a connection; more than 1 only over HTTP/2
        uint32_t slot_count
        bint single                 # only one of a connection's two slots may be open
        uint32_t opening            # outstanding connects
        ConnList expected           # requests and connects that can time out
        int64_t timeout_ns          # 0: none
        uint32_t first_number       # among the plan's connections, of connection 0 here
        uint32_t number_stride
        sockaddr_storage *sources   # local addresses; none: the kernel chooses
        uint32_t source_count
        Decoding *decodings         # by connection; NULL: content is not decoded
        DecodePool decode_pool
        Origins origins
        IoStack io

    def __cinit__(self, config, bint two_slots, Origins origins not None, IoStack io not None):
        """Make the connections of a ConnectionConfig. Raises ValueError and MemoryError."""
        cdef uint32_t index
        self.origins, self.io = origins, io
        self.streams = config.streams
        self.timeout_ns = config.timeout_ns
        self.first_number = config.first
        self.number_stride = config.stride
        self.single = config.single
        conn_list_init(&self.expected)
        self.conns = <Conn *> calloc(config.connections * config.streams, sizeof(Conn))
        if self.conns == NULL:
            raise MemoryError
        self.count = config.connections * config.streams
        self.slot_count = self.count * 2 if two_slots else self.count
        for index in range(self.count):
            self.conns[index].slot = index

    cdef set_sources(self, sources, addresses):
        """Let connections come from local addresses. Raises ValueError if a family differs from one of `addresses`."""
        cdef uint32_t index
        self.sources = <sockaddr_storage *> calloc(max(len(sources), 1), sizeof(sockaddr_storage))
        if self.sources == NULL:
            raise MemoryError
        for index, source in enumerate(sources):
            fill_address(source, 0, &self.sources[index])
            if any((":" in host) != (":" in source) for host, _ in addresses):
                raise ValueError(f"the source {source} is not of the family of every address")
        self.source_count = len(sources)

    cdef add_decoders(self):
        """Let the content of responses be decoded. Raises MemoryError."""
        cdef uint32_t index
        self.decodings = <Decoding *> calloc(self.count, sizeof(Decoding))
        if self.decodings == NULL or not decode_pool_init(&self.decode_pool, self.io.top.work):
            raise MemoryError
        for index in range(self.count):
            self.decodings[index].pool = &self.decode_pool

    def __dealloc__(self):
        cdef uint32_t index
        if self.decodings != NULL:
            for index in range(self.count):
                decode_forget(&self.decodings[index])
            decode_pool_free(&self.decode_pool)
        for index in range(self.count):
            free(self.conns[index].location.data)
            free(self.conns[index].rendered.data)
        free(self.decodings)
        free(self.conns)
        free(self.sources)

    cdef void open(self, uint32_t index, int64_t now_ns) noexcept nogil:
        """Begin to connect a closed connection."""
        cdef Conn *conn = &self.conns[index]
        cdef const Origin *origin = &self.origins.table[conn.origin]
        cdef uint32_t address = <uint32_t> (self.plan_number(index) % origin.count)
        conn.address = origin.numbers[address]
        conn.generation = self.origins.generation
        conn.state = CONN_OPENING
        conn.connect_began_ns = now_ns
        self.opening += 1
        if not conn.has_request:
            self.start_timeout(index, now_ns)
        if self.origins.count > 1:
            self.io.route(conn.slot, origin)
        self.io.top.connect(
            conn.slot, <sockaddr *> &origin.addresses[address], origin.lengths[address], self.source(index, origin, address)
        )

    cdef inline const sockaddr *source(self, uint32_t index, const Origin *origin, uint32_t address) noexcept nogil:
        cdef const sockaddr_storage *source
        if self.source_count == 0:
            return NULL
        # In turn with the addresses, so that each pair of both is used.
        source = &self.sources[self.plan_number(index) // origin.count % self.source_count]
        # Addresses of other origins than the target may be of another family.
        return <const sockaddr *> source if source.ss_family == origin.addresses[address].ss_family else NULL

    cdef inline uint64_t plan_number(self, uint32_t index) noexcept nogil:
        """The number of a connection among the plan's, which take addresses and sources in turn."""
        # Streams are assigned to connections in turn, as Http2Io does.
        return self.first_number + <uint64_t> (index % (self.count // self.streams)) * self.number_stride

    cdef inline bint is_stale(self, uint32_t index, Conn *conn) noexcept nogil:
        """Whether the target's addresses have changed so that the connection would go elsewhere now."""
        cdef const Origin *target = &self.origins.table[0]
        if conn.generation == self.origins.generation:
            return False
        if target.numbers[self.plan_number(index) % target.count] != conn.address:
            return True
        conn.generation = self.origins.generation
        return False

    cdef void close(self, Conn *conn) noexcept nogil:
        """Close the connection's current slot; its timeout runs on if it has one."""
        if self.decodings != NULL:
            decode_forget(&self.decodings[conn - self.conns])
        self.io.top.close(conn.slot)
        conn.state = CONN_CLOSED

    # Timeouts.

    cdef inline void start_timeout(self, uint32_t index, int64_t now_ns) noexcept nogil:
        if self.timeout_ns > 0:
            self.conns[index].waiting_since_ns = now_ns
            conn_list_append(&self.expected, self.conns, index, LIST_EXPECTED)

    cdef inline void stop_timeout(self, uint32_t index) noexcept nogil:
        conn_list_remove(&self.expected, self.conns, index, LIST_EXPECTED)

    cdef inline int64_t next_timeout_ns(self) noexcept nogil:
        """When the next timeout expires; NEVER_NS if none is running."""
        if self.expected.oldest == NO_CONN:
            return NEVER_NS
        return self.conns[self.expected.oldest].waiting_since_ns + self.timeout_ns

    # Second slots.

    cdef inline bint select_slot(self, IoEvent *event) noexcept nogil:
        """Turn an event's slot into its connection's index. False: the slot was not in use, and has ended."""
        cdef uint32_t index = event.slot if event.slot < self.count else event.slot - self.count
        cdef Conn *conn = &self.conns[index]
        if conn.slot == event.slot:
            event.slot = index
            return True
        if event.op == IO_RECV and conn.other_state != CONN_CLOSED:
            self.close_other(conn)
        return False

    cdef inline uint32_t other_slot(self, const Conn *conn) noexcept nogil:
        return conn.slot + self.count if conn.slot < self.count else conn.slot - self.count

    cdef void close_other(self, Conn *conn) noexcept nogil:
        self.io.top.close(self.other_slot(conn))
        conn.other_state = CONN_CLOSED

    cdef void switch_slot(self, Conn *conn, uint32_t origin) noexcept nogil:
        """Use the other slot of a connection without a request under way. It leads to `origin` from then on."""
        conn.slot = self.other_slot(conn)
        conn.state, conn.other_state = conn.other_state, conn.state
        conn.origin, conn.other_origin = conn.other_origin, conn.origin
        conn.address, conn.other_address = conn.other_address, conn.address
        conn.generation, conn.other_generation = conn.other_generation, conn.generation
        if conn.origin != origin:
            if conn.state != CONN_CLOSED:
                self.close(conn)
            conn.origin = origin
        if self.single and conn.other_state != CONN_CLOSED:
            self.close_other(conn)
