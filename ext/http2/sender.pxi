# The sending side of HTTP/2: connections and their lanes, streams begun and ended, frames made and given to the inner backend.


cdef class H2Sessions(Io):

    cdef:
        Io inner
        uint32_t slots              # lanes
        uint32_t streams            # lanes of a connection
        uint32_t connections
        H2Lane *lanes
        H2Session *sessions         # number i and i + connections have the same lanes: i, i + connections, ...
        uint32_t *current           # the connection for what is new, by its lanes
        uint32_t *by_id             # of each session: lanes by the stream's number
        uint32_t id_mask
        uint32_t *dirty
        uint32_t dirty_count
        uint32_t first_told
        uint32_t last_told
        uint32_t landed             # the session whose sends are told; or NO_SLOT
        uint32_t landed_at
        uint32_t streams_allowed    # the least that a server has said; 0: nothing said

    cdef inline uint32_t *cell(self, uint32_t number, uint32_t id) noexcept nogil:
        """Where the lane of a stream is kept; numbers that would share a cell are not given out at a time."""
        return &self.by_id[<size_t> number * (self.id_mask + 1) + (id >> 1 & self.id_mask)]

    cdef inline H2Lane *lane_of(self, uint32_t number, uint32_t id) noexcept nogil:
        """The lane of a stream that has not ended, or NULL."""
        cdef uint32_t slot = self.cell(number, id)[0]
        if slot == NO_SLOT or self.lanes[slot].id != id:
            return NULL
        return &self.lanes[slot]

    cdef inline uint32_t slot_of(self, const H2Lane *lane) noexcept nogil:
        return <uint32_t> (lane - self.lanes)

    # Events that wait to be taken.

    cdef inline void tell(self, H2Lane *lane, H2Told what, int64_t result, int64_t time_ns) noexcept nogil:
        cdef uint32_t slot = self.slot_of(lane)
        lane.told = what
        lane.told_result = result
        lane.told_ns = time_ns
        lane.joined = False
        if lane.listed:
            return
        lane.listed = True
        lane.next_told = NO_SLOT
        if self.first_told == NO_SLOT:
            self.first_told = slot
        else:
            self.lanes[self.last_told].next_told = slot
        self.last_told = slot

    # Frames.

    cdef inline uint8_t *room(self, uint32_t number, size_t bytes) noexcept nogil:
        """Room for so many bytes more, counted as made; NULL without memory, which ends the connection."""
        cdef H2Session *session = &self.sessions[number]
        cdef size_t wanted = session.made_bytes + bytes
        cdef void *grown
        if wanted > session.made_room:
            grown = realloc(session.made, wanted * 2)
            if grown == NULL:
                return NULL
            session.made = <uint8_t *> grown
            session.made_room = wanted * 2
        session.made_bytes = wanted
        self.mark_dirty(number, session)
        return session.made + wanted - bytes

    cdef inline void mark_dirty(self, uint32_t number, H2Session *session) noexcept nogil:
        if not session.dirty:
            session.dirty = True
            self.dirty[self.dirty_count] = number
            self.dirty_count += 1

    cdef void put_frame(self, uint32_t number, uint8_t type, uint8_t flags, uint32_t id, const uint8_t *payload,
                        uint32_t bytes) noexcept nogil:
        cdef uint8_t *at = self.room(number, H2_HEAD_BYTES + bytes)
        if at != NULL:
            h2_put_head(at, bytes, type, flags, id)
            if bytes > 0:
                memcpy(at + H2_HEAD_BYTES, payload, bytes)

    cdef void put_number(self, uint32_t number, uint8_t type, uint32_t id, uint32_t value) noexcept nogil:
        """RST_STREAM or WINDOW_UPDATE."""
        cdef uint8_t payload[4]
        h2_put_uint32(payload, value)
        self.put_frame(number, type, 0, id, payload, 4)

    cdef void flush_all(self) noexcept nogil:
        """Give what was made to the inner backend."""
        cdef uint32_t at, number, kept = 0
        cdef H2Session *session
        for at in range(self.dirty_count):
            number = self.dirty[at]
            session = &self.sessions[number]
            if number == self.landed:
                self.dirty[kept] = number  # its list of landed requests is still in use
                kept += 1
                continue
            session.dirty = False
            if session.made_bytes > 0 and not session.sending and session.state >= H2_OPEN:
                self.flush(number, session)
        self.dirty_count = kept

    cdef inline void flush(self, uint32_t number, H2Session *session) noexcept nogil:
        cdef uint8_t *made = session.made
        cdef size_t room = session.made_room, bytes = session.made_bytes
        cdef uint32_t *ended = session.ended
        session.made, session.made_room, session.made_bytes = session.flying, session.flying_room, 0
        session.flying, session.flying_room = made, room
        session.ended, session.landing = session.landing, ended
        session.landing_count = session.ended_count
        session.ended_count = 0
        session.flown = session.flight
        session.flight += 1
        session.sent_bytes += bytes
        session.sending = True
        self.inner.send(number, session.flying, bytes)

    # Streams.

    cdef inline void start_or_queue(self, H2Lane *lane) noexcept nogil:
        cdef H2Session *session = &self.sessions[lane.session]
        if session.streams < session.allowed:
            self.start_stream(lane, session)
            return
        lane.state = LANE_QUEUED
        lane.next_queued = NO_SLOT
        lane.last_queued = session.last_queued
        if session.last_queued == NO_SLOT:
            session.first_queued = self.slot_of(lane)
        else:
            self.lanes[session.last_queued].next_queued = self.slot_of(lane)
        session.last_queued = self.slot_of(lane)

    cdef inline void leave_queue(self, H2Lane *lane, H2Session *session) noexcept nogil:
        if lane.last_queued == NO_SLOT:
            session.first_queued = lane.next_queued
        else:
            self.lanes[lane.last_queued].next_queued = lane.next_queued
        if lane.next_queued == NO_SLOT:
            session.last_queued = lane.last_queued
        else:
            self.lanes[lane.next_queued].last_queued = lane.last_queued
        lane.state = LANE_IDLE

    cdef inline void start_queued(self, H2Session *session) noexcept nogil:
        cdef H2Lane *lane
        while session.first_queued != NO_SLOT and session.streams < session.allowed and session.state == H2_OPEN:
            lane = &self.lanes[session.first_queued]
            self.leave_queue(lane, session)
            self.start_stream(lane, session)

    cdef inline void start_stream(self, H2Lane *lane, H2Session *session) noexcept nogil:
        """Put the head of a lane's request out, and as much of its body as may go."""
        cdef uint32_t number = lane.session
        cdef size_t bytes
        cdef const uint8_t *frames = self.frames_of(lane, session, &bytes)
        cdef uint8_t *at = self.room(number, bytes)
        cdef size_t place = 0
        cdef uint32_t id = session.next_id
        if at == NULL:
            self.tell(lane, TOLD_ANSWER, -ENOMEM, self.inner.now())
            return
        while self.cell(number, id)[0] != NO_SLOT:
            id += 2
        session.next_id = id + 2
        if session.next_id > H2_LAST_ID - 2 * self.id_mask - 2:
            session.state = H2_DRAINING
            session.last_id = H2_LAST_ID
        self.cell(number, id)[0] = self.slot_of(lane)
        memcpy(at, frames, bytes)
        lane.no_content = at[8] == H2_HEAD_REQUEST
        while place < bytes:
            h2_put_uint32(at + place + 5, id)
            place += H2_HEAD_BYTES + (<size_t> at[place + 1] << 8 | at[place + 2])
        session.streams += 1
        lane.state = LANE_BUSY
        lane.id = id
        lane.status = 0
        lane.flight = 0
        lane.unreturned_bytes = 0
        lane.body_bytes = 0
        lane.content_length = -1
        lane.body = h2_body_of(lane.request)
        lane.body_left = lane.request_bytes - <size_t> (lane.body - lane.request)
        lane.window = session.initial_window
        if lane.body_left == 0:
            self.request_ends(lane, session)
        else:
            session.blocked += 1
            self.push_body(lane, session)

    cdef inline const uint8_t *frames_of(self, const H2Lane *lane, H2Session *session, size_t *bytes) noexcept nogil:
        """A request's fields as they go to this connection now."""
        cdef const uint8_t *request = lane.request
        cdef size_t first = h2_uint32(request + H2_REQUEST_FIRST)
        cdef size_t later = h2_uint32(request + H2_REQUEST_LATER)
        cdef const uint8_t *frames = request + H2_REQUEST_HEAD_BYTES
        cdef uint32_t table_bytes = h2_uint32(request + H2_REQUEST_TABLE)
        if table_bytes == H2_REQUEST_UNPRIMED:
            bytes[0] = first
            return frames
        if session.table_bytes < table_bytes:
            bytes[0] = h2_uint32(request + H2_REQUEST_PLAIN)
            return frames + first + later
        if session.primed:
            bytes[0] = later
            return frames + first
        session.primed = True
        bytes[0] = first
        return frames

    cdef inline void request_ends(self, H2Lane *lane, H2Session *session) noexcept nogil:
        """The last byte of a lane's request is made."""
        lane.flight = session.flight
        if session.ended_count < self.streams:  # more only where a lane began two in one flight: then the first ended
            session.ended[session.ended_count] = self.slot_of(lane)
            session.ended_count += 1

    cdef void push_body(self, H2Lane *lane, H2Session *session) noexcept nogil:
        """Make DATA frames as the server's windows allow (5.2)."""
        cdef int64_t bytes
        cdef uint8_t *at
        while lane.body_left > 0 and session.made_bytes < H2_AHEAD_BYTES:
            bytes = min(min(<int64_t> lane.body_left, <int64_t> session.max_frame_bytes), min(lane.window, session.window))
            if bytes <= 0:
                return
            at = self.room(lane.session, H2_HEAD_BYTES + <size_t> bytes)
            if at == NULL:
                return
            h2_put_head(at, <uint32_t> bytes, H2_DATA, H2_END_STREAM if <size_t> bytes == lane.body_left else 0, lane.id)
            memcpy(at + H2_HEAD_BYTES, lane.body, <size_t> bytes)
            lane.body += bytes
            lane.body_left -= <size_t> bytes
            lane.window -= bytes
            session.window -= bytes
        if lane.body_left == 0:
            session.blocked -= 1
            self.request_ends(lane, session)

    cdef void push_bodies(self, uint32_t number, H2Session *session) noexcept nogil:
        """Go on with what waited for a window, or for room."""
        cdef uint32_t slot = number % self.connections
        while slot < self.slots and session.blocked > 0 and session.made_bytes < H2_AHEAD_BYTES:
            if self.lanes[slot].session == number and self.lanes[slot].state == LANE_BUSY and self.lanes[slot].body_left > 0:
                self.push_body(&self.lanes[slot], session)
            slot += self.connections

    cdef inline void end_stream(self, H2Lane *lane, H2Session *session) noexcept nogil:
        """A stream has ended, one way or another; its lane stays on the connection."""
        self.cell(lane.session, lane.id)[0] = NO_SLOT
        if lane.body_left > 0:
            session.blocked -= 1
            lane.body_left = 0
        lane.id = 0
        lane.state = LANE_IDLE
        session.streams -= 1
        if session.first_queued != NO_SLOT:
            self.start_queued(session)

    cdef void fail_stream(self, H2Lane *lane, int kind, int64_t time_ns) noexcept nogil:
        """End a lane's request with an error kind."""
        cdef H2Session *session = &self.sessions[lane.session]
        if lane.state == LANE_QUEUED:
            self.leave_queue(lane, session)
        elif lane.state == LANE_BUSY:
            self.end_stream(lane, session)
        self.tell(lane, TOLD_ANSWER, -(TLS_FAILURE + kind), time_ns)

    # Connections.

    cdef void open_session(self, uint32_t number, const sockaddr *address, socklen_t length,
                           const sockaddr *source) noexcept nogil:
        self.sessions[number].state = H2_CONNECTING
        self.inner.connect(number, address, length, source)

    cdef void begin_session(self, uint32_t number, const IoEvent *event) noexcept nogil:
        """The connection is there: say what a client says first, and tell the lanes that wait."""
        cdef H2Session *session = &self.sessions[number]
        cdef uint32_t slot = number % self.connections
        cdef uint8_t *at
        cdef bint joined = False
        session.state = H2_OPEN
        session.settled = session.sending = session.primed = False
        session.table_bytes = HPACK_TABLE_BYTES
        session.allowed = min(self.streams, <uint32_t> H2_STREAMS_START)
        session.streams = session.blocked = session.unreturned_bytes = 0
        session.first_queued = session.last_queued = NO_SLOT
        session.next_id = 1
        session.max_frame_bytes = H2_FRAME_BYTES
        session.window = session.initial_window = H2_WINDOW_START_BYTES
        session.made_bytes = session.ended_count = session.landing_count = 0
        session.head_bytes = session.held_bytes = session.block_id = session.block_bytes = 0
        session.sent_bytes = session.received_bytes = 0
        session.flight = 1
        session.heard_ns = event.time_ns
        session.handshake_ns = event.handshake_ns
        session.resumed = event.resumed
        memset(self.cell(number, 0), 0xff, (self.id_mask + 1) * sizeof(uint32_t))
        at = self.room(number, h2_opening_length)
        if at != NULL:
            memcpy(at, h2_opening, h2_opening_length)
        while slot < self.slots:
            if self.lanes[slot].session == number and self.lanes[slot].state == LANE_WAITING:
                self.lanes[slot].state = LANE_IDLE
                self.tell(&self.lanes[slot], TOLD_CONNECT, 0, event.time_ns)
                self.lanes[slot].joined = joined
                joined = True
            slot += self.connections

    cdef void end_session(self, uint32_t number, int64_t result, int64_t time_ns) noexcept nogil:
        """The connection has ended, for its lanes too: 0, or a negative errno or failure, is why."""
        cdef H2Session *session = &self.sessions[number]
        cdef uint32_t slot = number % self.connections
        cdef bint waited = False
        cdef bint connecting = session.state == H2_CONNECTING
        cdef H2Lane *lane
        self.inner.close(number)
        session.state = H2_CLOSED
        session.made_bytes = session.ended_count = 0
        session.sending = False
        if self.landed == number:
            self.landed = NO_SLOT
        while slot < self.slots:
            lane = &self.lanes[slot]
            slot += self.connections
            if lane.session != number:
                continue
            if lane.state == LANE_WAITING and not connecting:
                waited = True  # for the place of one that was drained
                continue
            lane.session = NO_SLOT
            session.lanes -= 1
            if lane.state == LANE_WAITING:
                self.tell(lane, TOLD_CONNECT, result, time_ns)
            elif lane.state == LANE_QUEUED:
                self.tell(lane, TOLD_ANSWER, -(TLS_FAILURE + <int> ERROR_H2_REFUSED), time_ns)
            elif lane.state == LANE_BUSY and lane.status != 0:
                self.tell(lane, TOLD_ANSWER, result if result < 0 else -(TLS_FAILURE + <int> ERROR_CLOSED_EARLY), time_ns)
            elif lane.state == LANE_BUSY or lane.told == TOLD_NOTHING:
                self.tell(lane, TOLD_RECEIVED, result, time_ns)
            lane.state = LANE_CLOSED
            lane.body_left = 0
        if waited:
            self.open_session(number, session.address, session.address_bytes, session.source)

    cdef void drain(self, uint32_t number, uint32_t last_id, int64_t time_ns) noexcept nogil:
        """No new streams; those after `last_id` were not looked at, and are refused (6.8)."""
        cdef H2Session *session = &self.sessions[number]
        cdef uint32_t slot = number % self.connections
        cdef H2Lane *lane
        session.state = H2_DRAINING
        session.last_id = last_id
        while slot < self.slots:
            lane = &self.lanes[slot]
            slot += self.connections
            if lane.session != number:
                continue
            if lane.state == LANE_QUEUED or (lane.state == LANE_BUSY and lane.id > last_id):
                self.fail_stream(lane, ERROR_H2_REFUSED, time_ns)
            elif lane.state == LANE_IDLE and lane.told == TOLD_NOTHING:
                self.tell(lane, TOLD_RECEIVED, 0, time_ns)
