# Where connections go: each has a slot of the backend, and a second one where redirects are followed, for an origin that is not
# the target; addresses and sources are taken in turn.


cdef class Slots(Templates):

    cdef:
        uint32_t connection_count   # times the streams of each
        uint32_t streams            # of a connection at a time; more than 1 only over HTTP/2
        ConnList expected           # requests and connects that can time out
        sockaddr_storage *sources   # local addresses; none: the kernel's choice
        uint32_t source_count
        uint32_t first_number       # among the plan's connections, of connection 0 here
        uint32_t number_stride
        int64_t timeout_ns          # 0: none
        uint32_t opening            # connects outstanding

    cdef void open_connection(self, uint32_t index, int64_t now_ns) noexcept nogil:
        cdef Conn *conn = &self.conns[index]
        cdef const Origin *origin = &self.origins[conn.origin]
        cdef uint32_t address = <uint32_t> (self.plan_number(index) % origin.count)
        conn.address = origin.numbers[address]
        conn.generation = self.generation
        conn.state = CONN_OPENING
        conn.connect_began_ns = now_ns
        self.opening += 1
        if not conn.has_request:
            self.expect_answer(index, now_ns)
        if self.origin_count > 1 and self.tls_io is not None:
            self.tls_io.speak_by(conn.slot, origin.terms)
        if self.origin_count > 1 and self.tunnel_io is not None:
            self.tunnel_io.lead_by(conn.slot, &origin.tunnel)
        self.io.connect(
            conn.slot, <sockaddr *> &origin.addresses[address], origin.lengths[address], self.source(index, origin, address)
        )

    cdef inline const sockaddr *source(self, uint32_t index, const Origin *origin, uint32_t address) noexcept nogil:
        cdef const sockaddr_storage *source
        if self.source_count == 0:
            return NULL
        # In turn with the addresses, so that each pair of both is taken.
        source = &self.sources[self.plan_number(index) // origin.count % self.source_count]
        # Elsewhere than at the target, addresses may be of another family.
        return <const sockaddr *> source if source.ss_family == origin.addresses[address].ss_family else NULL

    cdef bint is_stale(self, uint32_t index, Conn *conn) noexcept nogil:
        """Whether a connection would go elsewhere now: the target's addresses have changed."""
        cdef const Origin *target = &self.origins[0]
        if target.numbers[self.plan_number(index) % target.count] != conn.address:
            return True
        conn.generation = self.generation
        return False

    cdef inline uint64_t plan_number(self, uint32_t index) noexcept nogil:
        """Which of the plan's connections one is; the plan's take addresses and sources in turn."""
        # Streams are dealt out to connections in turn, as Http2Io does.
        return self.first_number + <uint64_t> (index % (self.connection_count // self.streams)) * self.number_stride

    cdef inline void expect_answer(self, uint32_t index, int64_t now_ns) noexcept nogil:
        """From now on the connection's time is running."""
        if self.timeout_ns > 0:
            self.conns[index].waiting_since_ns = now_ns
            conn_list_append(&self.expected, self.conns, index, LIST_EXPECTED)

    cdef void close_slot(self, Conn *conn) noexcept nogil:
        pass

    cdef inline bint is_current(self, IoEvent *event) noexcept nogil:
        """Whether an event is of the slot in use, and then by its connection; else it is the end of an idle one."""
        cdef uint32_t index = event.slot if event.slot < self.connection_count else event.slot - self.connection_count
        cdef Conn *conn = &self.conns[index]
        if conn.slot == event.slot:
            event.slot = index
            return True
        if event.op == IO_RECV and conn.other_state != CONN_CLOSED:
            self.io.close(event.slot)
            conn.other_state = CONN_CLOSED
        return False

    cdef void turn_to(self, Conn *conn, uint32_t origin) noexcept nogil:
        """Go on with the other slot of a connection without a request under way; it leads to this origin then, if it is open."""
        conn.slot = conn.slot + self.connection_count if conn.slot < self.connection_count else conn.slot - self.connection_count
        conn.state, conn.other_state = conn.other_state, conn.state
        conn.origin, conn.other_origin = conn.other_origin, conn.origin
        conn.address, conn.other_address = conn.other_address, conn.address
        conn.generation, conn.other_generation = conn.other_generation, conn.generation
        if conn.origin != origin:
            if conn.state != CONN_CLOSED:
                self.close_slot(conn)
            conn.origin = origin
