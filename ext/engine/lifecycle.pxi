# The connections of one worker, and the life of a request on each: begin -> (connect) -> send -> answer -> recorded.
# Bytes and instants come from an Io, meaning from the parser, numbers go to the recorder. When a connection is free again
# `connection_free` is called; what is sent next, and when, is the engine's to decide.

cdef enum:
    # Events handled before the loop looks at its clock, stop rules and timeouts again: connects that fail at once would
    # otherwise keep it here for ever.
    EVENTS_A_TURN = 1024
    # A server that refuses a request so often is not going to take it.
    RETRIES_AT_MOST = 10


cdef class Connections(Expecting):

    cdef:
        uint16_t *order             # which of them is sent as the plan's number 0, 1, 2, ..., over and over
        uint32_t order_count
        bint keep_alive             # of our own will; the peer may refuse
        int64_t last_event_ns
        uint64_t begun              # requests; those of the warm-up are counted apart
        uint64_t answered
        uint64_t failed
        uint64_t warm_begun
        uint32_t in_flight          # of either kind

    cdef void connection_free(self, uint32_t index, int64_t now_ns) noexcept nogil:
        """The request of this connection has ended; the connection is idle or closed."""
        pass

    cdef void connection_opened(self, uint32_t index, int64_t now_ns) noexcept nogil:
        """A connection without a request is open."""
        pass

    cdef void connection_not_opened(self, uint32_t index, int kind, int64_t now_ns) noexcept nogil:
        """A connection without a request could not be opened; it is closed."""
        pass

    cdef inline void request_ended(self, uint32_t index, int64_t now_ns) noexcept nogil:
        # What is free leads to the target, whether it is open or not.
        if self.conns[index].origin != 0:
            self.turn_to(&self.conns[index], 0)
        self.connection_free(index, now_ns)

    cdef inline void begin(self, uint32_t index, int64_t intended_ns, uint64_t number) noexcept nogil:
        """Begin the plan's request of a number on an idle or closed connection.

        `intended_ns` 0 means now, as in a closed loop.
        """
        self.assign(index, intended_ns, number)
        self.send_begun(index)

    cdef inline void assign(self, uint32_t index, int64_t intended_ns, uint64_t number) noexcept nogil:
        """Let a request be this connection's, as of now."""
        cdef Conn *conn = &self.conns[index]
        cdef int64_t now_ns = self.io.now()
        cdef Bank *part
        conn.has_request = True
        conn.retries = conn.redirects = 0
        conn.sent_ns = now_ns
        conn.intended_ns = intended_ns if intended_ns != 0 else now_ns
        conn.request = self.order[number % self.order_count]
        conn.message = &self.messages[conn.request]
        if conn.message.template != NULL:
            self.render(conn, conn.message.template, number)
        self.place(conn)
        part = self.part(conn)
        if part != NULL:
            part.tally.sent += 1
        if conn.warm:
            self.warm_begun += 1
        else:
            self.begun += 1
        self.in_flight += 1
        self.bank(conn).tally.sent += 1

    cdef inline void send_begun(self, uint32_t index) noexcept nogil:
        """Send the connection's request, or first connect."""
        cdef Conn *conn = &self.conns[index]
        cdef int64_t now_ns = conn.sent_ns
        self.expect_answer(index, now_ns)
        if conn.generation != self.generation and conn.state == CONN_IDLE and self.is_stale(index, conn):
            self.close_slot(conn)
        if conn.state == CONN_IDLE:
            conn.connect_took_ns = 0
            self.send_request(index, conn, now_ns)
        else:
            self.open_connection(index, now_ns)

    cdef inline void send_request(self, uint32_t index, Conn *conn, int64_t now_ns) noexcept nogil:
        conn.state = CONN_BUSY
        conn.ready_ns = now_ns
        conn.written_ns = 0
        conn.first_byte_ns = 0
        http1_start(&conn.parser, conn.message.head, &conn.kept if self.follower_there else NULL,
                    &self.decodings[index] if self.decodings != NULL else NULL)
        if conn.message.head_bytes > 0:
            self.send_head(index, conn, now_ns)
        else:
            conn.body = BODY_NONE
            self.io.send(conn.slot, conn.message.data, conn.message.bytes)

    cdef inline void handle_events(self) noexcept nogil:
        cdef IoEvent event
        cdef int left = EVENTS_A_TURN
        event.handshake_ns = 0
        event.resumed = event.joined = False
        while left > 0 and self.io.next(&event):
            left -= 1
            self.last_event_ns = event.time_ns
            if self.follower_there and not self.is_current(&event):
                continue
            if event.op == IO_RECV:
                self.on_received(&event)
            elif event.op == IO_SEND:
                self.on_sent(&event)
            elif event.op == IO_CONNECT:
                self.on_connected(&event)
            elif event.op == IO_ANSWER:
                self.on_answer(&event)
            elif event.op == IO_PROGRESS:
                self.on_progress(&event)
            else:
                self.recorder.active.all.tally.goaways += 1

    cdef void on_connected(self, const IoEvent *event) noexcept nogil:
        cdef Conn *conn = &self.conns[event.slot]
        self.opening -= 1
        if event.result < 0:
            self.connect_failed(event.slot, error_from_connect(<int> -event.result))
            return
        conn.connect_took_ns = event.time_ns - conn.connect_began_ns
        if not event.joined:
            self.recorder.active.addresses[conn.address].connections += 1
            hdr_record(&self.recorder.active.all.metrics[METRIC_CONNECT], conn.connect_took_ns)
            self.recorder.active.all.tally.connections_opened += 1
            if event.handshake_ns > 0:
                self.count_handshake(event)
        if conn.has_request:
            self.send_request(event.slot, conn, event.time_ns)
        else:
            conn_list_remove(&self.expected, self.conns, event.slot, LIST_EXPECTED)
            conn.state = CONN_IDLE
            self.connection_opened(event.slot, event.time_ns)

    cdef void connect_failed(self, uint32_t index, int kind) noexcept nogil:
        self.recorder.active.addresses[self.conns[index].address].failures += 1
        if self.conns[index].has_request:
            self.fail(index, kind)
        else:
            # If ahead of the start, the first request on it will try again, and report what it meets.
            self.drop(index)
            self.connection_not_opened(index, kind, self.io.now())

    cdef inline bint was_idle(self, const Conn *conn) noexcept nogil:
        """Whether a connection has ended that the server had kept until the request came: it may not have seen that.

        A connection that was opened for the request has no such excuse (RFC 9112, 9.3.1 and 9.6).
        """
        return (conn.connect_took_ns == 0 and conn.first_byte_ns == 0 and conn.message.idempotent and conn.retries == 0
                and conn.body <= BODY_HELD)

    cdef void on_sent(self, const IoEvent *event) noexcept nogil:
        cdef Conn *conn = &self.conns[event.slot]
        if event.result < 0 and self.was_idle(conn):
            self.retry(event.slot, True)
            return
        if event.result < 0:
            self.fail(event.slot, error_from_errno(<int> -event.result))
            return
        self.bank(conn).tally.bytes_sent += <uint64_t> event.result
        if conn.body == BODY_NONE or not self.head_sent(conn):
            conn.written_ns = event.time_ns

    cdef inline void on_received(self, const IoEvent *event) noexcept nogil:
        cdef Conn *conn = &self.conns[event.slot]
        cdef size_t consumed = 0
        cdef Http1Result result
        if conn.state != CONN_BUSY:
            self.received_idle(event)
            return
        if event.result <= 0:
            self.stream_ended(event, conn)
            return
        self.bank(conn).tally.bytes_received += <uint64_t> event.result
        if conn.first_byte_ns == 0:
            conn.first_byte_ns = event.time_ns
        result = http1_feed(&conn.parser, event.data, <size_t> event.result, &consumed)
        if result == HTTP1_MORE:
            if conn.body != BODY_NONE:
                self.heard(conn, event.slot)
            return
        if result == HTTP1_DONE:
            self.complete(event.slot, event.time_ns, consumed < <size_t> event.result)
        else:
            self.fail_response(event.slot, result)

    cdef inline void on_progress(self, const IoEvent *event) noexcept nogil:
        cdef Conn *conn = &self.conns[event.slot]
        self.bank(conn).tally.bytes_received += <uint64_t> event.result
        conn.first_byte_ns = event.first_ns
        self.keep_location(conn, event)

    cdef inline void keep_location(self, Conn *conn, const IoEvent *event) noexcept nogil:
        if event.location_bytes > 0 and conn.parser.kept != NULL:
            http1_keep(&conn.kept, event.location, event.location_bytes)

    cdef inline void on_answer(self, const IoEvent *event) noexcept nogil:
        """A whole answer over HTTP/2, or why there is none."""
        cdef Conn *conn = &self.conns[event.slot]
        cdef int kind
        if event.result < 0:
            kind = error_from_errno(<int> -event.result)
            if kind == ERROR_H2_REFUSED and conn.retries < RETRIES_AT_MOST:
                self.retry(event.slot, event.last)
            else:
                self.fail(event.slot, kind)
            return
        self.bank(conn).tally.bytes_received += <uint64_t> event.result
        conn.first_byte_ns = event.first_ns
        if conn.written_ns == 0:
            conn.written_ns = event.first_ns
        conn.parser.status = event.status
        conn.parser.body_bytes = event.body_bytes
        self.keep_location(conn, event)
        conn.parser.keep_alive = not event.last
        self.complete(event.slot, event.time_ns, False)

    cdef void retry(self, uint32_t index, bint reopen) noexcept nogil:
        """Send a request once more that the server has not looked at, it seems; its time is running on."""
        cdef Conn *conn = &self.conns[index]
        conn.retries += 1
        self.bank(conn).tally.retries += 1
        if not reopen:
            self.send_request(index, conn, self.io.now())
            return
        # It keeps its place in the list of those that can time out.
        self.close_slot(conn)
        self.open_connection(index, self.io.now())

    cdef void received_idle(self, const IoEvent *event) noexcept nogil:
        """The end of an idle connection, or bytes on it that no request asked for."""
        if event.result > 0:
            self.recorder.active.all.tally.bytes_received += <uint64_t> event.result
            self.recorder.active.all.tally.unsolicited_responses += 1
        self.drop(event.slot)

    cdef void stream_ended(self, const IoEvent *event, Conn *conn) noexcept nogil:
        cdef Http1Result result
        if self.was_idle(conn):
            self.retry(event.slot, True)
            return
        if event.result < 0:
            self.fail(event.slot, error_from_errno(<int> -event.result))
            return
        result = http1_finish(&conn.parser)
        if result == HTTP1_DONE:
            conn.parser.keep_alive = False
            self.complete(event.slot, event.time_ns, False)
        else:
            self.fail_response(event.slot, result)

    cdef void fail_response(self, uint32_t index, Http1Result result) noexcept nogil:
        if result == HTTP1_CLOSED_EARLY:
            self.fail(index, ERROR_CLOSED_EARLY)
        elif result == HTTP1_TOO_LARGE:
            self.fail(index, ERROR_HEADER_TOO_LARGE)
        elif self.conns[index].parser.reason >= HTTP1_REASON_CODING_BROKEN:
            self.fail(index, error_from_decode(self.conns[index].parser.reason - HTTP1_REASON_CODING_BROKEN + DECODE_BROKEN))
        else:
            self.count_bad_response(&self.conns[index])
            self.fail(index, ERROR_BAD_RESPONSE)

    cdef inline void complete(self, uint32_t index, int64_t done_ns, bint leftover) noexcept nogil:
        """The last byte of the answer is in. `leftover`: bytes follow that belong to no request."""
        cdef Conn *conn = &self.conns[index]
        cdef Bank *bank = self.bank(conn)
        if conn.parser.kept != NULL and self.leads_on(conn) and self.follow(index, conn, done_ns, leftover):
            return
        if conn.hop != NULL:
            self.leave_hop(conn)
        self.record(conn, bank, done_ns)
        if leftover:
            bank.tally.unsolicited_responses += 1
        conn.has_request = False
        conn_list_remove(&self.expected, self.conns, index, LIST_EXPECTED)
        self.in_flight -= 1
        if not conn.warm:
            self.answered += 1
        if (conn.parser.keep_alive and self.keep_alive and not leftover and conn.written_ns != 0 and not conn.message.closes
                and (conn.generation == self.generation or not self.is_stale(index, conn))):
            conn.state = CONN_IDLE
        else:
            self.drop(index)
        self.request_ended(index, done_ns)

    cdef void fail(self, uint32_t index, int kind) noexcept nogil:
        self.count_failure(&self.conns[index], kind)
        self.drop(index)
        self.last_event_ns = self.io.now()
        self.request_ended(index, self.last_event_ns)

    cdef void count_failure(self, Conn *conn, int kind) noexcept nogil:
        """A connection's request has ended without an answer."""
        cdef Bank *part = self.part(conn)
        self.bank(conn).tally.errors[kind] += 1
        if part != NULL:
            part.tally.errors[kind] += 1
        if not conn.warm:
            self.failed += 1
            self.recorder.active.addresses[conn.address].errors += 1
        self.in_flight -= 1
        if conn.hop != NULL:
            self.leave_hop(conn)
        conn.has_request = False

    cdef void drop(self, uint32_t index) noexcept nogil:
        """Close a connection and let its slot be used again."""
        conn_list_remove(&self.expected, self.conns, index, LIST_EXPECTED)
        self.close_slot(&self.conns[index])

    cdef bint follow(self, uint32_t index, Conn *conn, int64_t done_ns, bint leftover) noexcept nogil:
        """Ask where an answer leads to; False: it is the last."""
        cdef Hop *hop = self.hop_from(conn)
        cdef bint kept = conn.parser.keep_alive and self.keep_alive and not leftover and conn.written_ns != 0 and not conn.message.closes
        if hop != NULL and hop.end == NOT_FOLLOWED:
            return False
        if hop == NULL or hop.end != FOLLOWED or conn.redirects == REDIRECTS_AT_MOST:
            self.count_failure(conn, ERROR_OTHER if hop == NULL else ERROR_REDIRECTS if hop.end == FOLLOWED else hop.end)
            conn_list_remove(&self.expected, self.conns, index, LIST_EXPECTED)
            if kept:
                conn.state = CONN_IDLE
            else:
                self.close_slot(conn)
            self.request_ended(index, done_ns)
            return True
        self.bank(conn).tally.redirects += 1
        conn.redirects += 1
        conn.retries = 0
        if conn.hop != NULL:
            self.leave_hop(conn)
        conn.hop = hop
        hop.users += 1
        conn.message = &hop.message
        if kept:
            conn.state = CONN_IDLE
        else:
            self.close_slot(conn)
        if hop.origin != conn.origin:
            self.turn_to(conn, hop.origin)
        if conn.state == CONN_IDLE:
            conn.connect_took_ns = 0
            self.send_request(index, conn, done_ns)
        else:
            self.open_connection(index, done_ns)
        return True

    cdef inline void leave_hop(self, Conn *conn) noexcept nogil:
        conn.hop.users -= 1
        conn.hop = NULL

    cdef inline void expire(self, int64_t now_ns) noexcept nogil:
        """End what has waited longer than the timeout."""
        cdef uint32_t index = self.expected.oldest
        while index != NO_CONN and self.conns[index].waiting_since_ns + self.timeout_ns <= now_ns:
            if self.conns[index].state == CONN_OPENING:
                self.opening -= 1
                self.connect_failed(index, ERROR_CONNECT_TIMEOUT)
            else:
                self.fail(index, ERROR_REQUEST_TIMEOUT)
            index = self.expected.oldest
        if self.continuing.oldest != NO_CONN:
            self.release_late(now_ns)

    cdef void abandon_all(self) noexcept nogil:
        """End the requests that are in flight without an outcome of their own, and close every connection."""
        cdef uint32_t index
        cdef Bank *part
        for index in range(self.connection_count):
            if self.conns[index].has_request:
                self.bank(&self.conns[index]).tally.abandoned += 1
                part = self.part(&self.conns[index])
                if part != NULL:
                    part.tally.abandoned += 1
                self.in_flight -= 1
                self.conns[index].has_request = False
            self.drop(index)
            if self.conns[index].other_state != CONN_CLOSED:
                self.turn_to(&self.conns[index], self.conns[index].origin)
                self.drop(index)


cdef int error_from_connect(int error) noexcept nogil:
    """A reset in answer to a connect is a refusal of another make; what else can fail has the same kinds as ever."""
    # EAGAIN: a Unix socket whose backlog is full.
    if error == ECONNRESET or error == ECONNABORTED or error == EAGAIN:
        return ERROR_CONNECT_REFUSED
    return error_from_errno(error)
