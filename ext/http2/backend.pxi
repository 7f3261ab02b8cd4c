# HTTP/2 inside the io contract (RFC 9113): a backend made of another, whose slots are lanes: each carries one request at a time, as a
# stream of a connection that it shares. A send is a rendered request (`http2_request`); its answer comes as IO_ANSWER, whole.
#
# Beyond the contract: what `connect` is given stays valid until `close`, and an address in another place is another one. A lane whose request the server has not looked at
# (REFUSED_STREAM, GOAWAY: 8.7) fails with ERROR_H2_REFUSED: it may be sent again. IO_RECV tells only that a lane's connection has ended.


@final
cdef class Http2Io(H2Reading):
    """HTTP/2 over another backend, with so many streams on each connection; tells on demand where redirects lead to."""

    cdef bint keeps_location
    cdef uint8_t *stash             # what was received and not read when the inner backend had to go on

    def __cinit__(self, Io inner not None, uint32_t streams, bint keep_location=False):
        if streams == 0:
            raise ValueError("a connection needs at least one stream")
        self.inner = inner
        self.streams = streams
        self.keeps_location = keep_location
        self.first_told = self.last_told = self.landed = self.reading = NO_SLOT

    def __dealloc__(self):
        self.shut()

    cdef int open(self, uint32_t slots) noexcept nogil:
        cdef uint32_t slot, cells = 2
        cdef int result
        self.connections = (slots + self.streams - 1) // self.streams
        result = self.inner.open(2 * self.connections)
        if result < 0:
            return result
        while cells < 2 * self.streams:
            cells *= 2
        self.id_mask = cells - 1
        self.lanes = <H2Lane *> calloc(slots, sizeof(H2Lane))
        self.sessions = <H2Session *> calloc(2 * self.connections, sizeof(H2Session))
        self.current = <uint32_t *> calloc(self.connections, sizeof(uint32_t))
        self.dirty = <uint32_t *> calloc(2 * self.connections, sizeof(uint32_t))
        self.by_id = <uint32_t *> malloc(<size_t> 2 * self.connections * cells * sizeof(uint32_t))
        self.stash = <uint8_t *> malloc(TLS_STASH_BYTES)
        if self.keeps_location:
            self.location = <uint8_t *> malloc(HTTP1_LOCATION_LIMIT_BYTES)
        if (self.lanes == NULL or self.sessions == NULL or self.current == NULL or self.dirty == NULL or self.by_id == NULL
                or self.stash == NULL or (self.keeps_location and self.location == NULL)):
            self.shut()
            return -ENOMEM
        self.slots = slots
        for slot in range(slots):
            self.lanes[slot].session = NO_SLOT
        for slot in range(self.connections):
            self.current[slot] = slot
        for slot in range(2 * self.connections):
            self.sessions[slot].ended = <uint32_t *> calloc(self.streams, sizeof(uint32_t))
            self.sessions[slot].landing = <uint32_t *> calloc(self.streams, sizeof(uint32_t))
            if self.sessions[slot].ended == NULL or self.sessions[slot].landing == NULL:
                self.shut()
                return -ENOMEM
        return 0

    cdef void shut(self) noexcept nogil:
        cdef uint32_t number
        if self.inner is not None:
            self.inner.shut()
        if self.sessions != NULL:
            for number in range(2 * self.connections):
                free(self.sessions[number].made)
                free(self.sessions[number].flying)
                free(self.sessions[number].held)
                free(self.sessions[number].block)
                free(self.sessions[number].ended)
                free(self.sessions[number].landing)
        free(self.sessions)
        free(self.lanes)
        free(self.current)
        free(self.dirty)
        free(self.by_id)
        free(self.stash)
        free(self.location)
        self.location = NULL
        self.sessions = NULL
        self.lanes = NULL
        self.current = self.dirty = self.by_id = NULL
        self.stash = NULL
        self.slots = self.dirty_count = 0
        self.first_told = self.last_told = self.landed = self.reading = NO_SLOT

    cdef int64_t now(self) noexcept nogil:
        return self.inner.now()

    cdef void connect(
        self, uint32_t slot, const sockaddr *address, socklen_t length, const sockaddr *source
    ) noexcept nogil:
        cdef H2Lane *lane = &self.lanes[slot]
        cdef uint32_t number = self.current[slot % self.connections]
        cdef uint32_t other = number + self.connections if number < self.connections else number - self.connections
        cdef H2Session *session
        if self.sessions[number].state == H2_OPEN and self.sessions[number].address != address:
            # The target's addresses have changed: what is under way comes to its end where it is.
            self.drain(number, H2_LAST_ID, self.inner.now())
        if self.sessions[number].state == H2_DRAINING and self.sessions[other].state != H2_DRAINING:
            number = other
            self.current[slot % self.connections] = number
        session = &self.sessions[number]
        session.lanes += 1
        lane.session = number
        lane.state = LANE_WAITING
        lane.told = TOLD_NOTHING
        session.address = address
        session.address_bytes = length
        session.source = source
        if session.state == H2_CLOSED:
            self.open_session(number, address, length, source)
        elif session.state == H2_OPEN:
            lane.state = LANE_IDLE
            self.tell(lane, TOLD_CONNECT, 0, self.inner.now())
            lane.joined = True

    cdef void send(self, uint32_t slot, const uint8_t *data, size_t length) noexcept nogil:
        cdef H2Lane *lane = &self.lanes[slot]
        lane.request = data
        lane.request_bytes = length
        lane.first_ns = 0
        lane.sent_ns = self.inner.now()
        if lane.session == NO_SLOT or self.sessions[lane.session].state != H2_OPEN:
            # Ended, or ending, and the caller does not know yet.
            self.tell(lane, TOLD_ANSWER, -(TLS_FAILURE + <int> ERROR_H2_REFUSED), lane.sent_ns)
        else:
            self.start_or_queue(lane)

    cdef void close(self, uint32_t slot) noexcept nogil:
        """A request that is under way is cancelled; the connection is closed when its last lane is."""
        cdef H2Lane *lane = &self.lanes[slot]
        cdef uint32_t number = lane.session
        cdef H2Session *session
        if number != NO_SLOT:
            session = &self.sessions[number]
            if lane.state == LANE_QUEUED:
                self.leave_queue(lane, session)
            elif lane.state == LANE_BUSY:
                self.put_number(number, H2_RST_STREAM, lane.id, H2_CANCEL)
                self.end_stream(lane, session)
                if session.heard_ns < lane.sent_ns and session.state == H2_OPEN:
                    self.drain(number, H2_LAST_ID, self.inner.now())  # silent since before: perhaps nobody is there
            lane.session = NO_SLOT
            session.lanes -= 1
            if session.lanes == 0 and session.state != H2_CLOSED:
                if self.reading == number:
                    self.reading = NO_SLOT
                self.end_session(number, 0, 0)
        lane.told = TOLD_NOTHING
        lane.state = LANE_CLOSED

    cdef int wait(self, int64_t deadline_ns) noexcept nogil:
        self.flush_all()
        if self.first_told != NO_SLOT or self.landed != NO_SLOT or self.reading != NO_SLOT:
            deadline_ns = 0
        if self.reading != NO_SLOT:
            memmove(self.stash, self.at, self.left)  # it may be there already, behind what was read of it
            self.at = self.stash
        return self.inner.wait(deadline_ns)

    cdef bint next(self, IoEvent *event) noexcept nogil:
        event.handshake_ns = 0
        event.resumed = event.joined = False
        while True:
            if self.first_told != NO_SLOT:
                if self.take_told(event):
                    return True
            elif self.landed != NO_SLOT:
                if self.take_landed(event):
                    return True
            elif self.reading != NO_SLOT:
                if self.read_on(event):
                    return True
            else:
                self.flush_all()
                if not self.inner.next(event):
                    return False
                self.took(event)

    cdef bint take_told(self, IoEvent *event) noexcept nogil:
        """Take the first of the events that wait, unless it is void."""
        cdef H2Lane *lane = &self.lanes[self.first_told]
        cdef H2Session *session
        event.slot = self.first_told
        self.first_told = lane.next_told
        lane.listed = False
        if lane.told == TOLD_NOTHING:
            return False
        event.op = (
            IO_CONNECT if lane.told == TOLD_CONNECT else IO_RECV if lane.told == TOLD_RECEIVED else IO_ANSWER
        )
        event.result = lane.told_result
        event.data = NULL
        event.time_ns = lane.told_ns
        event.joined = lane.joined
        event.last = lane.session == NO_SLOT or self.sessions[lane.session].state != H2_OPEN
        if lane.told == TOLD_CONNECT and not lane.joined and lane.session != NO_SLOT:
            session = &self.sessions[lane.session]
            event.handshake_ns = session.handshake_ns
            event.resumed = session.resumed
        lane.told = TOLD_NOTHING
        return True

    cdef bint take_landed(self, IoEvent *event) noexcept nogil:
        """Tell the next request that has left whole, of those whose frames the inner backend has taken."""
        cdef H2Session *session = &self.sessions[self.landed]
        cdef H2Lane *lane
        while self.landed_at < session.landing_count:
            lane = &self.lanes[session.landing[self.landed_at]]
            self.landed_at += 1
            if lane.session == self.landed and lane.state == LANE_BUSY and lane.flight == session.flown:
                event.slot = self.slot_of(lane)
                event.op = IO_SEND
                event.result = <int64_t> session.sent_bytes
                event.data = NULL
                event.time_ns = self.reading_ns
                session.sent_bytes = 0
                return True
        self.landed = NO_SLOT
        return False

    cdef void took(self, const IoEvent *event) noexcept nogil:
        """Take an event of the inner backend; what it means for lanes is told, or read."""
        cdef uint32_t number = event.slot
        cdef H2Session *session = &self.sessions[number]
        self.reading_ns = event.time_ns
        if event.op == IO_CONNECT:
            if event.result < 0:
                self.end_session(number, event.result, event.time_ns)
            else:
                self.begin_session(number, event)
        elif event.result < 0 or (event.op == IO_RECV and event.result == 0):
            self.end_session(number, event.result, event.time_ns)
        elif event.op == IO_SEND:
            session.sending = False
            self.landed = number
            self.landed_at = 0
            if session.blocked > 0:
                self.push_bodies(number, session)
            if session.made_bytes > 0:
                self.mark_dirty(number, session)
        else:
            session.heard_ns = event.time_ns
            self.reading = number
            self.at = event.data
            self.left = <size_t> event.result
