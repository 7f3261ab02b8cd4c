# HTTP/2 inside the io contract (RFC 9113): a backend on top of another one. Each of its slots carries one request at a time, as a
# stream of a connection that it shares. A send is a rendered request (`http2_request`); its response comes whole, as IO_ANSWER.
#
# Beyond the contract: the address that `connect` is given stays valid until `close`, and one at another place in memory is another
# address. A request that the server has not processed (REFUSED_STREAM, GOAWAY: 8.7) fails with ERROR_H2_REFUSED and may be sent
# again. IO_RECV only reports that a slot's connection has ended.


@final
cdef class Http2Io(H2Receiver):
    """HTTP/2 over another backend. Documented in _core.pyi."""

    cdef bint keeps_location
    cdef uint8_t *stash             # bytes that were not read when the inner backend had to go on

    def __cinit__(self, Io inner not None, uint32_t streams, bint keep_location=False):
        if streams == 0:
            raise ValueError("a connection needs at least one stream")
        self.inner = inner
        self.work = inner.work
        self.streams_per_connection = streams
        self.keeps_location = keep_location
        self.first_pending = self.last_pending = self.reporting = self.reading = NO_SLOT

    def __dealloc__(self):
        self.shut()

    cdef int open(self, uint32_t slots) noexcept nogil:
        cdef uint32_t slot, cells = 2
        cdef int result
        self.connection_count = (slots + self.streams_per_connection - 1) // self.streams_per_connection
        result = self.inner.open(2 * self.connection_count)
        if result < 0:
            return result
        while cells < 2 * self.streams_per_connection:
            cells *= 2
        self.id_mask = cells - 1
        self.streams = <H2Stream *> calloc(slots, sizeof(H2Stream))
        self.connections = <H2Connection *> calloc(2 * self.connection_count, sizeof(H2Connection))
        self.current = <uint32_t *> calloc(self.connection_count, sizeof(uint32_t))
        self.dirty = <uint32_t *> calloc(2 * self.connection_count, sizeof(uint32_t))
        self.by_id = <uint32_t *> malloc(<size_t> 2 * self.connection_count * cells * sizeof(uint32_t))
        self.stash = <uint8_t *> malloc(TLS_STASH_BYTES)
        if self.keeps_location:
            self.location = <uint8_t *> malloc(HTTP1_LOCATION_LIMIT_BYTES)
        if (self.streams == NULL or self.connections == NULL or self.current == NULL or self.dirty == NULL or self.by_id == NULL
                or self.stash == NULL or (self.keeps_location and self.location == NULL)):
            self.shut()
            return -ENOMEM
        self.slots = slots
        for slot in range(slots):
            self.streams[slot].connection = NO_SLOT
        for slot in range(self.connection_count):
            self.current[slot] = slot
        for slot in range(2 * self.connection_count):
            self.connections[slot].ending = <uint32_t *> calloc(self.streams_per_connection, sizeof(uint32_t))
            self.connections[slot].sent = <uint32_t *> calloc(self.streams_per_connection, sizeof(uint32_t))
            if self.connections[slot].ending == NULL or self.connections[slot].sent == NULL:
                self.shut()
                return -ENOMEM
        return 0

    cdef void shut(self) noexcept nogil:
        cdef uint32_t number
        if self.inner is not None:
            self.inner.shut()
        if self.connections != NULL:
            for number in range(2 * self.connection_count):
                free(self.connections[number].out)
                free(self.connections[number].batch_data)
                free(self.connections[number].partial)
                free(self.connections[number].block)
                free(self.connections[number].ending)
                free(self.connections[number].sent)
        free(self.connections)
        free(self.streams)
        free(self.current)
        free(self.dirty)
        free(self.by_id)
        free(self.stash)
        free(self.location)
        self.location = NULL
        self.connections = NULL
        self.streams = NULL
        self.current = self.dirty = self.by_id = NULL
        self.stash = NULL
        self.slots = self.dirty_count = 0
        self.first_pending = self.last_pending = self.reporting = self.reading = NO_SLOT

    cdef int64_t now(self) noexcept nogil:
        return self.inner.now()

    cdef void connect(
        self, uint32_t slot, const sockaddr *address, socklen_t length, const sockaddr *source
    ) noexcept nogil:
        cdef H2Stream *stream = &self.streams[slot]
        cdef uint32_t number = self.current[slot % self.connection_count]
        cdef uint32_t other = number + self.connection_count if number < self.connection_count else number - self.connection_count
        cdef H2Connection *connection
        if self.connections[number].state == H2_OPEN and self.connections[number].address != address:
            # The target's addresses have changed. Requests in flight end where they are.
            self.drain(number, H2_LAST_ID, self.inner.now())
        if self.connections[number].state == H2_DRAINING and self.connections[other].state != H2_DRAINING:
            number = other
            self.current[slot % self.connection_count] = number
        connection = &self.connections[number]
        connection.attached += 1
        stream.connection = number
        stream.state = STREAM_WAITING
        stream.event = H2_EVENT_NONE
        connection.address = address
        connection.address_bytes = length
        connection.source = source
        if connection.state == H2_CLOSED:
            self.open_connection(number, address, length, source)
        elif connection.state == H2_OPEN:
            stream.state = STREAM_IDLE
            self.post(stream, H2_EVENT_CONNECT, 0, self.inner.now())
            stream.joined = True

    cdef void send(self, uint32_t slot, const uint8_t *data, size_t length) noexcept nogil:
        cdef H2Stream *stream = &self.streams[slot]
        stream.request = data
        stream.request_bytes = length
        stream.first_ns = 0
        stream.sent_ns = self.inner.now()
        if stream.connection == NO_SLOT or self.connections[stream.connection].state != H2_OPEN:
            # The connection has ended or is ending, and the caller does not know yet.
            self.post(stream, H2_EVENT_ANSWER, -(TLS_FAILURE + <int> ERROR_H2_REFUSED), stream.sent_ns)
        else:
            self.start_or_queue(stream)

    cdef void close(self, uint32_t slot) noexcept nogil:
        """Close a slot. Its request is cancelled; its connection is closed with the last slot on it."""
        cdef H2Stream *stream = &self.streams[slot]
        cdef uint32_t number = stream.connection
        cdef H2Connection *connection
        if number != NO_SLOT:
            connection = &self.connections[number]
            if stream.state == STREAM_QUEUED:
                self.leave_queue(stream, connection)
            elif stream.state == STREAM_BUSY:
                self.put_number(number, H2_RST_STREAM, stream.id, H2_CANCEL)
                self.end_stream(stream, connection)
                if connection.last_received_ns < stream.sent_ns and connection.state == H2_OPEN:
                    self.drain(number, H2_LAST_ID, self.inner.now())  # it has been silent since the request: the peer may be gone
            stream.connection = NO_SLOT
            connection.attached -= 1
            if connection.attached == 0 and connection.state != H2_CLOSED:
                if self.reading == number:
                    self.reading = NO_SLOT
                self.end_connection(number, 0, 0)
        stream.event = H2_EVENT_NONE
        stream.state = STREAM_CLOSED

    cdef int wait(self, int64_t deadline_ns) noexcept nogil:
        self.flush_all()
        if self.first_pending != NO_SLOT or self.reporting != NO_SLOT or self.reading != NO_SLOT:
            deadline_ns = 0
        if self.reading != NO_SLOT:
            memmove(self.stash, self.at, self.left)  # it may be in the stash already, behind bytes that were read
            self.at = self.stash
        return self.inner.wait(deadline_ns)

    cdef bint next(self, IoEvent *event) noexcept nogil:
        event.handshake_ns = 0
        event.resumed = event.joined = False
        while self.work.left > 0:
            if self.first_pending != NO_SLOT:
                if self.take_pending(event):
                    return True
            elif self.reporting != NO_SLOT:
                if self.take_sent(event):
                    return True
            elif self.reading != NO_SLOT:
                if self.read_frames(event):
                    return True
            else:
                self.flush_all()
                if not self.inner.next(event):
                    return False
                self.on_inner_event(event)
        return False

    cdef bint take_pending(self, IoEvent *event) noexcept nogil:
        """Return the first of the events that wait for the caller. False: it has become void."""
        cdef H2Stream *stream = &self.streams[self.first_pending]
        cdef H2Connection *connection
        self.work.left -= 1
        event.slot = self.first_pending
        self.first_pending = stream.next_pending
        stream.listed = False
        if stream.event == H2_EVENT_NONE:
            return False
        event.op = (
            IO_CONNECT if stream.event == H2_EVENT_CONNECT else IO_RECV if stream.event == H2_EVENT_RECEIVED else IO_ANSWER
        )
        event.result = stream.event_result
        event.data = NULL
        event.time_ns = stream.event_ns
        event.joined = stream.joined
        event.last = stream.connection == NO_SLOT or self.connections[stream.connection].state != H2_OPEN
        if stream.event == H2_EVENT_CONNECT and not stream.joined and stream.connection != NO_SLOT:
            connection = &self.connections[stream.connection]
            event.handshake_ns = connection.handshake_ns
            event.resumed = connection.resumed
        stream.event = H2_EVENT_NONE
        return True

    cdef bint take_sent(self, IoEvent *event) noexcept nogil:
        """Report the next request that has been sent completely. False: there is none left."""
        cdef H2Connection *connection = &self.connections[self.reporting]
        cdef H2Stream *stream
        while self.reporting_at < connection.sent_count:
            stream = &self.streams[connection.sent[self.reporting_at]]
            self.reporting_at += 1
            self.work.left -= 1
            if stream.connection == self.reporting and stream.state == STREAM_BUSY and stream.last_batch == connection.batch:
                event.slot = self.slot_of(stream)
                event.op = IO_SEND
                event.result = <int64_t> connection.sent_bytes
                event.data = NULL
                event.time_ns = self.reading_ns
                connection.sent_bytes = 0
                return True
        self.reporting = NO_SLOT
        return False

    cdef void on_inner_event(self, const IoEvent *event) noexcept nogil:
        """Handle an event of the inner backend; what it means for streams is posted, or read later."""
        cdef uint32_t number = event.slot
        cdef H2Connection *connection = &self.connections[number]
        self.reading_ns = event.time_ns
        if event.op == IO_CONNECT:
            if event.result < 0:
                self.end_connection(number, event.result, event.time_ns)
            else:
                self.on_connected(number, event)
        elif event.op == IO_SEND and send_met_reset(event.result):
            return  # what the server said before is read first; no more is sent
        elif event.result < 0 or (event.op == IO_RECV and event.result == 0):
            self.end_connection(number, event.result, event.time_ns)
        elif event.op == IO_SEND:
            connection.sending = False
            self.reporting = number
            self.reporting_at = 0
            if connection.blocked > 0:
                self.push_bodies(number, connection)
            if connection.out_bytes > 0:
                self.mark_dirty(number, connection)
        else:
            connection.last_received_ns = event.time_ns
            self.work.left -= event.result >> WORK_FRAMED_SHIFT
            self.reading = number
            self.at = event.data
            self.left = <size_t> event.result
