# The life of a request on a connection: begin -> (connect) -> send -> response -> recorded. Bytes and instants come from an Io,
# their meaning from the parser, and Accounting counts. Each step returns what became of the connection; what is sent next, and
# when, is for a generator to decide.

cdef enum:
    # A server that refuses a request this often is not going to accept it.
    RETRIES_AT_MOST = 10


@final
cdef class Lifecycle:

    cdef:
        IoStack io
        ConnectionPool pool
        RequestTable requests
        RedirectCache redirects
        ExpectContinue expect
        SendLimit limit
        Accounting accounting
        Conn *conns                 # the pool's
        Decoding *decodings         # the pool's
        bint follows_redirects
        bint is_limited             # the host's owner limits the rate; one branch is all that it costs otherwise
        bint keep_alive             # False: each request has a connection of its own
        int64_t last_event_ns
        int open_error              # of the last CONN_EVENT_NOT_OPENED: an error kind
        Unread unread

    def __cinit__(self, ConnectionPool pool not None, RequestTable requests not None, RedirectCache redirects not None,
                  Accounting accounting not None, bint keep_alive, double sends_per_s):
        self.io, self.pool, self.requests, self.redirects = pool.io, pool, requests, redirects
        self.expect = ExpectContinue(pool)
        self.limit = SendLimit(pool, sends_per_s)
        self.is_limited = sends_per_s > 0
        self.accounting = accounting
        self.conns = pool.conns
        self.decodings = pool.decodings
        self.follows_redirects = redirects.follower is not None
        self.keep_alive = keep_alive

    def __dealloc__(self):
        free(self.unread.data)

    # Requests begin.

    cdef inline void begin(self, uint32_t index, int64_t intended_ns, uint64_t number) noexcept nogil:
        """Begin the plan's request of a number on an idle or closed connection.

        `intended_ns` 0 means now, as in a closed loop.
        """
        self.assign(index, intended_ns, number)
        self.send_or_connect(index)

    cdef inline void assign(self, uint32_t index, int64_t intended_ns, uint64_t number) noexcept nogil:
        """Give a connection the plan's request of a number, as of now, without sending it."""
        cdef Conn *conn = &self.conns[index]
        cdef int64_t now_ns = self.io.top.now()
        conn.has_request = True
        conn.retries = conn.redirects = 0
        conn.sent_ns = now_ns
        conn.intended_ns = intended_ns if intended_ns != 0 else now_ns
        conn.request = self.requests.request_at(number)
        conn.message = self.requests.message_for(conn.request, number, &conn.rendered)
        conn.key = self.accounting.key_of(conn.intended_ns, conn.request)
        self.accounting.count_sent(conn.key)

    cdef inline void send_or_connect(self, uint32_t index) noexcept nogil:
        """Send the connection's request; connect first if the connection is not open."""
        cdef Conn *conn = &self.conns[index]
        cdef int64_t now_ns = conn.sent_ns
        self.pool.start_timeout(index, now_ns)
        if conn.state == CONN_IDLE and self.pool.is_stale(index, conn):
            self.close(conn)
        if conn.state == CONN_IDLE:
            conn.connect_ns = 0
            self.send(index, conn, now_ns)
        else:
            self.pool.open(index, now_ns)

    cdef inline void send(self, uint32_t index, Conn *conn, int64_t now_ns) noexcept nogil:
        """Send the connection's message on its open slot, or let it wait there for the owner's limit."""
        if self.is_limited and not self.limit.admits(index, now_ns):
            conn.state = CONN_IDLE
            self.accounting.metrics(conn.key).counters.rate_limited += 1
            return
        self.write(index, conn, now_ns)

    cdef void release_limited(self, int64_t now_ns) noexcept nogil:
        """Send the messages that waited for the owner's limit, as far as it allows."""
        cdef uint32_t index = self.limit.release(now_ns)
        while index != NO_CONN:
            self.write(index, &self.conns[index], now_ns)
            index = self.limit.release(now_ns)

    cdef inline void write(self, uint32_t index, Conn *conn, int64_t now_ns) noexcept nogil:
        conn.state = CONN_BUSY
        conn.ready_ns = now_ns
        conn.written_ns = 0
        conn.first_byte_ns = 0
        http1_start(&conn.parser, conn.message.head, &conn.location if self.follows_redirects else NULL,
                    &self.decodings[index] if self.decodings != NULL else NULL)
        if conn.message.head_bytes > 0:
            self.expect.send_head(index, conn, now_ns)
        else:
            conn.body = BODY_NONE
            self.io.top.send(conn.slot, conn.message.data, conn.message.bytes)

    # Events of the backend.

    cdef inline ConnEvent handle(self, IoEvent *event) noexcept nogil:
        """Handle an event. Its slot becomes the index of its connection."""
        self.last_event_ns = event.time_ns
        if self.follows_redirects and not self.pool.select_slot(event):
            return CONN_EVENT_NONE
        if event.op == IO_RECV:
            return self.on_received(event)
        if event.op == IO_SEND:
            return self.on_sent(event)
        if event.op == IO_CONNECT:
            return self.on_connected(event)
        if event.op == IO_ANSWER:
            return self.on_answer(event)
        if event.op == IO_PROGRESS:
            self.on_progress(event)
        else:
            self.accounting.counters().goaways += 1
        return CONN_EVENT_NONE

    cdef ConnEvent on_connected(self, const IoEvent *event) noexcept nogil:
        cdef Conn *conn = &self.conns[event.slot]
        self.pool.opening -= 1
        if event.result < 0:
            return self.connect_failed(event.slot, error_from_connect(<int> -event.result))
        conn.connect_ns = event.time_ns - conn.connect_began_ns
        if not event.joined:
            self.accounting.count_connected(event, conn)
        if conn.has_request:
            self.send(event.slot, conn, event.time_ns)
            return CONN_EVENT_NONE
        self.pool.stop_timeout(event.slot)
        conn.state = CONN_IDLE
        return CONN_EVENT_OPENED

    cdef ConnEvent connect_failed(self, uint32_t index, int kind) noexcept nogil:
        self.accounting.count_connect_failed(&self.conns[index])
        if self.conns[index].has_request:
            return self.fail(index, kind)
        # Ahead of the start, the first request on the connection tries again, and reports the error that it meets.
        self.drop(index)
        self.last_event_ns = self.io.top.now()
        self.open_error = kind
        return CONN_EVENT_NOT_OPENED

    cdef inline bint closed_while_idle(self, const Conn *conn) noexcept nogil:
        """Whether the server may have closed a connection before it saw the request, so that the request can be sent again.

        That needs a connection that was idle when the request came (RFC 9112, 9.3.1 and 9.6).
        """
        return (conn.connect_ns == 0 and conn.first_byte_ns == 0 and conn.message.idempotent and conn.retries == 0
                and conn.body <= BODY_HELD)

    cdef ConnEvent on_sent(self, const IoEvent *event) noexcept nogil:
        cdef Conn *conn = &self.conns[event.slot]
        if send_met_reset(event.result):
            return CONN_EVENT_NONE
        if event.result < 0:
            return self.fail(event.slot, error_from_errno(<int> -event.result))
        self.accounting.metrics(conn.key).counters.bytes_sent += <uint64_t> event.result
        if conn.body == BODY_NONE or self.expect.finish_send(conn):
            conn.written_ns = event.time_ns
        return CONN_EVENT_NONE

    cdef inline ConnEvent on_received(self, const IoEvent *event) noexcept nogil:
        cdef Conn *conn = &self.conns[event.slot]
        if conn.state != CONN_BUSY:
            return self.on_received_idle(event)
        if event.result <= 0:
            return self.on_stream_end(event, conn)
        self.accounting.metrics(conn.key).counters.bytes_received += <uint64_t> event.result
        if conn.first_byte_ns == 0:
            conn.first_byte_ns = event.time_ns
        return self.read(event.slot, event.data, <size_t> event.result, event.time_ns)

    cdef inline ConnEvent read(self, uint32_t index, const uint8_t *data, size_t bytes, int64_t time_ns) noexcept nogil:
        """Parse what has come of a response."""
        cdef Conn *conn = &self.conns[index]
        cdef size_t consumed = 0
        cdef Http1Result result = http1_feed(&conn.parser, data, bytes, &consumed)
        if result == HTTP1_DONE:
            return self.complete(index, time_ns, consumed < bytes)
        if result == HTTP1_PAUSED:
            if not unread_keep(&self.unread, index, data + consumed, bytes - consumed):
                return self.fail(index, ERROR_OTHER)
            return CONN_EVENT_NONE
        if result != HTTP1_MORE:
            return self.fail_response(index, result)
        if conn.body != BODY_NONE:
            self.expect.on_partial_response(index, conn)
        return CONN_EVENT_NONE

    cdef ConnEvent read_on(self) noexcept nogil:
        """Go on with what an earlier turn left unread."""
        cdef size_t bytes = self.unread.bytes
        self.unread.bytes = 0
        self.last_event_ns = self.io.top.now()
        return self.read(self.unread.index, self.unread.data, bytes, self.last_event_ns)

    cdef ConnEvent on_received_idle(self, const IoEvent *event) noexcept nogil:
        """Close an idle connection that has ended, or on which the server sent bytes that no request asked for.

        A request that waits there for the owner's limit gets another one.
        """
        cdef Conn *conn = &self.conns[event.slot]
        if event.result > 0:
            self.accounting.counters().bytes_received += <uint64_t> event.result
            self.accounting.counters().unsolicited_responses += 1
        if conn.has_request and conn.retries == RETRIES_AT_MOST:
            return self.fail(event.slot, ERROR_CLOSED_EARLY)
        if conn.has_request:
            self.retry(event.slot, True)
        else:
            self.drop(event.slot)
        return CONN_EVENT_NONE

    cdef ConnEvent on_stream_end(self, const IoEvent *event, Conn *conn) noexcept nogil:
        cdef Http1Result result
        if self.closed_while_idle(conn):
            self.retry(event.slot, True)
            return CONN_EVENT_NONE
        if event.result < 0:
            return self.fail(event.slot, error_from_errno(<int> -event.result))
        result = http1_finish(&conn.parser)
        if result != HTTP1_DONE:
            return self.fail_response(event.slot, result)
        conn.parser.keep_alive = False
        return self.complete(event.slot, event.time_ns, False)

    cdef inline void on_progress(self, const IoEvent *event) noexcept nogil:
        """Take note of a response over HTTP/2 that has begun."""
        cdef Conn *conn = &self.conns[event.slot]
        self.accounting.metrics(conn.key).counters.bytes_received += <uint64_t> event.result
        conn.first_byte_ns = event.first_ns
        self.keep_location(conn, event)

    cdef inline ConnEvent on_answer(self, const IoEvent *event) noexcept nogil:
        """Take a whole response over HTTP/2, or the reason why there is none."""
        cdef Conn *conn = &self.conns[event.slot]
        cdef int kind
        if event.result < 0:
            kind = error_from_errno(<int> -event.result)
            if kind != ERROR_H2_REFUSED or conn.retries == RETRIES_AT_MOST:
                return self.fail(event.slot, kind)
            self.retry(event.slot, event.last)
            return CONN_EVENT_NONE
        self.accounting.metrics(conn.key).counters.bytes_received += <uint64_t> event.result
        conn.first_byte_ns = event.first_ns
        if conn.written_ns == 0:
            conn.written_ns = event.first_ns
        conn.parser.status = event.status
        conn.parser.body_bytes = event.body_bytes
        self.keep_location(conn, event)
        conn.parser.keep_alive = not event.last
        return self.complete(event.slot, event.time_ns, False)

    cdef inline void keep_location(self, Conn *conn, const IoEvent *event) noexcept nogil:
        if event.location_bytes > 0 and conn.parser.location != NULL:
            http1_append_location(&conn.location, event.location, event.location_bytes)

    # Requests end.

    cdef inline ConnEvent complete(self, uint32_t index, int64_t done_ns, bint leftover) noexcept nogil:
        """End a request whose response is complete. `leftover`: bytes follow that belong to no request."""
        cdef Conn *conn = &self.conns[index]
        cdef bint reusable = (conn.parser.keep_alive and self.keep_alive and not leftover and conn.written_ns != 0
                              and not conn.message.closes)
        cdef Redirect *redirect
        if conn.parser.location != NULL and is_redirect(conn.parser.status, &conn.location):
            redirect = self.redirects.find(conn.message, conn.parser.status, &conn.location)
            if redirect == NULL or redirect.end != NOT_FOLLOWED:
                return self.follow(index, conn, redirect, done_ns, reusable)
        self.leave_redirect(conn)
        self.accounting.count_answered(conn, done_ns)
        if leftover:
            self.accounting.metrics(conn.key).counters.unsolicited_responses += 1
        conn.has_request = False
        self.pool.stop_timeout(index)
        if reusable and not self.pool.is_stale(index, conn):
            conn.state = CONN_IDLE
        else:
            self.close(conn)
        return self.free(conn)

    cdef ConnEvent follow(self, uint32_t index, Conn *conn, Redirect *redirect, int64_t done_ns, bint reusable) noexcept nogil:
        """Send the request that a response leads to, or end in the error that it leads to."""
        cdef bint ends = redirect == NULL or redirect.end != FOLLOWED or conn.redirects == REDIRECTS_AT_MOST
        if ends:
            self.end_in_error(conn, ERROR_OTHER if redirect == NULL
                              else ERROR_REDIRECTS if redirect.end == FOLLOWED else redirect.end)
            self.pool.stop_timeout(index)
        if reusable:
            conn.state = CONN_IDLE
        else:
            self.close(conn)
        if ends:
            return self.free(conn)
        self.accounting.metrics(conn.key).counters.redirects += 1
        conn.redirects += 1
        conn.retries = 0
        self.leave_redirect(conn)
        conn.redirect = redirect
        redirect.users += 1
        conn.message = &redirect.message
        if redirect.origin != conn.origin:
            self.pool.switch_slot(conn, redirect.origin)
        if conn.state == CONN_IDLE:
            conn.connect_ns = 0
            self.send(index, conn, done_ns)
        else:
            self.pool.open(index, done_ns)
        return CONN_EVENT_NONE

    cdef inline void leave_redirect(self, Conn *conn) noexcept nogil:
        if conn.redirect != NULL:
            conn.redirect.users -= 1
            conn.redirect = NULL

    cdef void retry(self, uint32_t index, bint reopen) noexcept nogil:
        """Send a request again that the server seems not to have processed. Its timeout runs on."""
        cdef Conn *conn = &self.conns[index]
        conn.retries += 1
        self.accounting.metrics(conn.key).counters.retries += 1
        if not reopen:
            self.send(index, conn, self.io.top.now())
            return
        self.close(conn)
        self.pool.open(index, self.io.top.now())

    cdef ConnEvent fail_response(self, uint32_t index, Http1Result result) noexcept nogil:
        """End a request whose response can't be parsed."""
        cdef Conn *conn = &self.conns[index]
        if result == HTTP1_CLOSED_EARLY:
            return self.fail(index, ERROR_CLOSED_EARLY)
        if result == HTTP1_TOO_LARGE:
            return self.fail(index, ERROR_HEADER_TOO_LARGE)
        if conn.parser.reason >= HTTP1_REASON_CODING_BROKEN:
            return self.fail(index, error_from_decode(conn.parser.reason - HTTP1_REASON_CODING_BROKEN + DECODE_BROKEN))
        self.accounting.count_bad_response(conn)
        return self.fail(index, ERROR_BAD_RESPONSE)

    cdef ConnEvent fail(self, uint32_t index, int kind) noexcept nogil:
        """End a connection's request in an error, and close the connection."""
        self.end_in_error(&self.conns[index], kind)
        self.drop(index)
        self.last_event_ns = self.io.top.now()
        return self.free(&self.conns[index])

    cdef void end_in_error(self, Conn *conn, int kind) noexcept nogil:
        self.accounting.count_failed(conn, kind)
        self.leave_redirect(conn)
        conn.has_request = False

    cdef inline ConnEvent free(self, Conn *conn) noexcept nogil:
        """Let a connection without a request lead to the target again, whether it is open or not."""
        if conn.origin != 0:
            self.pool.switch_slot(conn, 0)
        return CONN_EVENT_FREE

    cdef inline void close(self, Conn *conn) noexcept nogil:
        self.expect.forget(conn)
        self.limit.forget(conn)
        if self.unread.bytes > 0 and &self.conns[self.unread.index] == conn:
            self.unread.bytes = 0
        self.pool.close(conn)

    cdef void drop(self, uint32_t index) noexcept nogil:
        """Close a connection, and stop its timeout."""
        self.pool.stop_timeout(index)
        self.close(&self.conns[index])

    cdef ConnEvent expire(self, uint32_t index) noexcept nogil:
        """End what has waited longer than the timeout: a connect or a request."""
        if self.conns[index].state != CONN_OPENING:
            return self.fail(index, ERROR_REQUEST_TIMEOUT)
        self.pool.opening -= 1
        return self.connect_failed(index, ERROR_CONNECT_TIMEOUT)

    cdef void abandon_all(self) noexcept nogil:
        """End the requests in flight without an outcome, and close every connection."""
        cdef uint32_t index
        cdef Conn *conn
        for index in range(self.pool.count):
            conn = &self.conns[index]
            if conn.has_request:
                self.accounting.count_abandoned(conn.key)
                conn.has_request = False
            self.drop(index)
            if conn.other_state != CONN_CLOSED:
                self.pool.switch_slot(conn, conn.origin)
                self.drop(index)
