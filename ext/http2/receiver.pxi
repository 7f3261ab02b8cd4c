# The receiving side of HTTP/2: bytes of a connection in, frames told apart and checked (RFC 9113, 4 to 6), answers out.
#
# What the peer does wrong ends the stream where only that suffers, and the connection where nothing can be trusted any more.
# Frames of streams that have ended here (a request that timed out) are counted and dropped; no table of fields suffers from that.


cdef class H2Reading(H2Sessions):

    cdef:
        uint32_t reading            # the session whose bytes are read; or NO_SLOT
        int64_t reading_ns
        const uint8_t *at           # what is not read yet
        size_t left
        uint8_t *location           # of the redirect that was read last; NULL: none is kept
        Decoding *decodings         # of the lanes' answers, the engine's; NULL: content is not decoded

    cdef inline bint read_on(self, IoEvent *event) noexcept nogil:
        """Read frames until one makes an event, or all is read: then `reading` ends, too."""
        cdef uint32_t number = self.reading
        cdef H2Session *session = &self.sessions[number]
        while self.reading == number and self.left > 0:
            if self.read_piece(number, session, event):
                return True
        if self.reading == number:
            self.reading = NO_SLOT
            return self.report_progress(session, event)
        return False

    cdef inline bint report_progress(self, H2Session *session, IoEvent *event) noexcept nogil:
        """Bytes of a long answer are told as they come."""
        cdef H2Lane *lane
        if session.received_bytes < H2_AHEAD_BYTES or session.head_bytes < H2_HEAD_BYTES or session.type != H2_DATA:
            return False
        lane = self.lane_of(<uint32_t> (session - self.sessions), session.id)
        if lane == NULL:
            return False
        self.fill(event, lane, IO_PROGRESS, session)
        return True

    cdef inline void fill(self, IoEvent *event, const H2Lane *lane, IoOp op, H2Session *session) noexcept nogil:
        event.slot = self.slot_of(lane)
        event.op = op
        event.result = <int64_t> session.received_bytes
        event.data = NULL
        event.time_ns = self.reading_ns
        event.first_ns = lane.first_ns
        event.location_bytes = 0
        session.received_bytes = 0

    cdef inline bint read_piece(self, uint32_t number, H2Session *session, IoEvent *event) noexcept nogil:
        """Read a frame, or what there is of it; whether that made an event."""
        cdef uint32_t taken
        cdef const uint8_t *payload
        if session.head_bytes < H2_HEAD_BYTES:
            taken = <uint32_t> min(<size_t> (H2_HEAD_BYTES - session.head_bytes), self.left)
            memcpy(session.head + session.head_bytes, self.at, taken)
            self.take(session, taken)
            session.head_bytes += taken
            if session.head_bytes < H2_HEAD_BYTES:
                return False
            if not self.frame_begins(session):
                self.break_session(number, ERROR_H2_PROTOCOL)
                return False
        if session.type == H2_DATA:
            return self.read_data(number, session, event)
        taken = <uint32_t> min(<size_t> (session.left_bytes - session.held_bytes), self.left)
        payload = self.at
        if session.held_bytes > 0 or taken < session.left_bytes:
            if not self.hold(session, taken):
                self.break_session(number, ERROR_OTHER)
                return False
            payload = session.held
        self.take(session, taken)
        if session.held_bytes > 0 and session.held_bytes < session.left_bytes:
            return False
        if taken < session.left_bytes and session.held_bytes == 0:
            return False
        session.head_bytes = session.held_bytes = 0
        return self.frame_in(number, session, payload, event)

    cdef inline void take(self, H2Session *session, uint32_t bytes) noexcept nogil:
        self.at += bytes
        self.left -= bytes
        session.received_bytes += bytes

    cdef bint hold(self, H2Session *session, uint32_t bytes) noexcept nogil:
        """Keep a part of a payload until all of it is there."""
        cdef void *grown
        if session.held_room < session.left_bytes:
            grown = realloc(session.held, session.left_bytes)
            if grown == NULL:
                return False
            session.held = <uint8_t *> grown
            session.held_room = session.left_bytes
        memcpy(session.held + session.held_bytes, self.at, bytes)
        session.held_bytes += bytes
        return True

    cdef inline bint frame_begins(self, H2Session *session) noexcept nogil:
        """Whether a frame of this length, kind and stream may come now."""
        cdef const uint8_t *head = session.head
        session.left_bytes = <uint32_t> head[0] << 16 | <uint32_t> head[1] << 8 | head[2]
        session.type = head[3]
        session.flags = head[4]
        session.id = h2_uint32(head + 5) & H2_LAST_ID
        session.padding_bytes = 0
        session.padded = session.flags & H2_PADDED != 0
        if session.left_bytes > H2_FRAME_BYTES:
            return False
        if not session.settled and session.type != H2_SETTINGS:
            return False  # 3.4: the server's settings come first
        if (session.block_id != 0) != (session.type == H2_CONTINUATION) or session.block_id not in (0, session.id):
            return False  # 4.3: nothing comes between the parts of a block
        if session.type in (H2_DATA, H2_HEADERS, H2_RST_STREAM, H2_PRIORITY, H2_CONTINUATION):
            return session.id & 1 and (session.id < session.next_id or session.type == H2_PRIORITY)
        if session.type in (H2_SETTINGS, H2_PING, H2_GOAWAY):
            return session.id == 0
        return session.type != H2_PUSH_PROMISE

    cdef bint read_data(self, uint32_t number, H2Session *session, IoEvent *event) noexcept nogil:
        """Count content (6.1)."""
        cdef H2Lane *lane = self.lane_of(number, session.id)
        cdef uint32_t taken, content
        cdef const uint8_t *data
        if session.padded:
            if session.left_bytes == 0 or (self.left > 0 and self.at[0] >= session.left_bytes):
                self.break_session(number, ERROR_H2_PROTOCOL)
                return False
            if self.left == 0:
                return False
            session.padding_bytes = self.at[0]
            session.padded = False
            session.left_bytes -= 1
            session.unreturned_bytes += 1
            self.take(session, 1)
        taken = <uint32_t> min(<size_t> session.left_bytes, self.left)
        content = min(taken, session.left_bytes - session.padding_bytes if session.left_bytes > session.padding_bytes else 0)
        session.left_bytes -= taken
        session.unreturned_bytes += taken
        data = self.at
        self.take(session, taken)
        if session.unreturned_bytes >= H2_WINDOW_BYTES // 2:
            self.put_number(number, H2_WINDOW_UPDATE, 0, session.unreturned_bytes)
            session.unreturned_bytes = 0
        if session.left_bytes == 0:
            session.head_bytes = 0
        if lane == NULL:
            return False
        if lane.status == 0:
            self.malformed(number, lane)
            return False
        lane.body_bytes += content
        if self.decodings != NULL and not self.decode(number, lane, data, content):
            return False
        lane.unreturned_bytes += taken
        if session.left_bytes == 0 and session.flags & H2_END_STREAM:
            return self.answered(number, lane, session, event)
        if lane.unreturned_bytes >= H2_WINDOW_BYTES // 2:
            self.put_number(number, H2_WINDOW_UPDATE, session.id, lane.unreturned_bytes)
            lane.unreturned_bytes = 0
        return False

    cdef bint decode(self, uint32_t number, H2Lane *lane, const uint8_t *data, uint32_t bytes) noexcept nogil:
        """Decode more of an answer's content; False: it is broken, and its stream ends."""
        cdef DecodeResult result = decode_feed(&self.decodings[self.slot_of(lane)], data, bytes)
        if result == DECODE_GOOD:
            return True
        self.put_number(number, H2_RST_STREAM, lane.id, H2_CANCEL)
        self.fail_stream(lane, error_from_decode(result), self.reading_ns)
        return False

    cdef void take_codings(self, H2Lane *lane, const HpackHead *head) noexcept nogil:
        """What the content of an answer has to be decoded from."""
        cdef Decoding *decoding = &self.decodings[self.slot_of(lane)]
        cdef uint8_t text[CODING_TEXT_BYTES]
        cdef uint32_t place
        cdef int bytes
        if head.coding_count > HPACK_CODINGS_AT_MOST:
            decoding.text_bytes = CODING_TEXT_BYTES + 1  # more than is taken
            return
        for place in range(head.coding_count):
            bytes = hpack_decoded(&head.codings[place], text, CODING_TEXT_BYTES)
            if place > 0:
                decode_text(decoding, b",", 1)
            if bytes < 0:
                decoding.text_bytes = CODING_TEXT_BYTES + 1
                return
            decode_text(decoding, text, <size_t> bytes)

    cdef bint answered(self, uint32_t number, H2Lane *lane, H2Session *session, IoEvent *event) noexcept nogil:
        """The last byte of an answer is in."""
        if lane.status == 0 or (lane.content_length >= 0 and <uint64_t> lane.content_length != lane.body_bytes
                                and not (lane.body_bytes == 0 and (lane.no_content or lane.status == 304))):
            self.malformed(number, lane)
            return False
        if self.decodings != NULL and decode_end(&self.decodings[self.slot_of(lane)]) != DECODE_GOOD:
            self.fail_stream(lane, ERROR_CONTENT_BROKEN, self.reading_ns)
            return False
        if lane.body_left > 0:
            self.put_number(number, H2_RST_STREAM, lane.id, H2_NO_ERROR)  # 8.1: the server wants no more of the request
        self.fill(event, lane, IO_ANSWER, session)
        event.status = lane.status
        event.body_bytes = lane.body_bytes
        self.end_stream(lane, session)
        event.last = session.state != H2_OPEN
        return True

    cdef void malformed(self, uint32_t number, H2Lane *lane) noexcept nogil:
        """8.1.1: an answer that is none."""
        self.put_number(number, H2_RST_STREAM, lane.id, H2_PROTOCOL_ERROR)
        self.fail_stream(lane, ERROR_H2_PROTOCOL, self.reading_ns)

    cdef void break_session(self, uint32_t number, int kind) noexcept nogil:
        """The peer does not keep to the protocol: nothing that it says on this connection is believed any more."""
        if self.reading == number:
            self.reading = NO_SLOT
            self.left = 0
        self.end_session(number, -(TLS_FAILURE + kind), self.reading_ns)

    cdef bint frame_in(self, uint32_t number, H2Session *session, const uint8_t *payload, IoEvent *event) noexcept nogil:
        """A whole frame that is not DATA; whether that made an event."""
        cdef uint32_t bytes = session.left_bytes
        cdef bint good = True
        if session.type == H2_HEADERS:
            return self.headers_in(number, session, payload, bytes, event)
        if session.type == H2_CONTINUATION:
            return self.block_in(number, session, payload, bytes, event)
        if session.type == H2_RST_STREAM:
            good = bytes == 4
            if good:
                self.stream_reset(number, session, h2_uint32(payload))
        elif session.type == H2_SETTINGS:
            good = self.settings_in(number, session, payload, bytes)
        elif session.type == H2_PING:
            good = bytes == 8 and session.made_bytes < H2_FLOOD_BYTES
            if good and not session.flags & H2_ACK:
                self.put_frame(number, H2_PING, H2_ACK, 0, payload, 8)
        elif session.type == H2_GOAWAY:
            if bytes >= 8:
                return self.goaway_in(number, session, h2_uint32(payload) & H2_LAST_ID, event)
            good = False
        elif session.type == H2_WINDOW_UPDATE:
            good = bytes == 4 and self.window_in(number, session, h2_uint32(payload) & H2_LAST_ID)
        elif session.type == H2_PRIORITY:
            good = bytes == 5
        if not good:
            self.break_session(number, ERROR_H2_PROTOCOL)
        return False

    cdef void stream_reset(self, uint32_t number, H2Session *session, uint32_t code) noexcept nogil:
        cdef H2Lane *lane = self.lane_of(number, session.id)
        if lane != NULL:
            self.fail_stream(lane, ERROR_H2_REFUSED if code == H2_REFUSED_STREAM else ERROR_H2_RESET, self.reading_ns)

    cdef bint goaway_in(self, uint32_t number, H2Session *session, uint32_t last_id, IoEvent *event) noexcept nogil:
        """The server wants no more requests on this connection (6.8); it may say so twice, the second time with a lower number."""
        event.slot = number % self.connections
        event.op = IO_GOAWAY
        event.result = 0
        event.data = NULL
        event.time_ns = self.reading_ns
        self.drain(number, last_id, self.reading_ns)
        return True

    cdef bint settings_in(self, uint32_t number, H2Session *session, const uint8_t *payload, uint32_t bytes) noexcept nogil:
        """6.5; whether they are good."""
        cdef uint32_t place = 0, name, value
        if session.flags & H2_ACK:
            return bytes == 0 and session.settled
        if bytes % 6 != 0 or session.made_bytes >= H2_FLOOD_BYTES:
            return False
        if not session.settled:
            session.allowed = self.streams
            session.settled = True
        while place < bytes:
            name = <uint32_t> payload[place] << 8 | payload[place + 1]
            value = h2_uint32(payload + place + 2)
            place += 6
            if name == H2_MAX_STREAMS:
                session.allowed = min(value, self.streams)
                self.streams_allowed = min(value, self.streams_allowed or value)
            elif name == H2_TABLE_BYTES:
                session.table_bytes = min(value, session.table_bytes)
            elif name == H2_INITIAL_WINDOW:
                if value > H2_WINDOW_LIMIT_BYTES or not self.move_windows(number, session, <int64_t> value):
                    return False
            elif name == H2_MAX_FRAME:
                if not H2_FRAME_BYTES <= value <= H2_FRAME_LIMIT_BYTES:
                    return False
                session.max_frame_bytes = value
        self.put_frame(number, H2_SETTINGS, H2_ACK, 0, NULL, 0)
        self.start_queued(session)
        self.push_bodies(number, session)
        return True

    cdef bint move_windows(self, uint32_t number, H2Session *session, int64_t value) noexcept nogil:
        """6.9.2: what is open moves by as much; it may become negative, not too large."""
        cdef uint32_t slot = number % self.connections
        cdef int64_t by = value - session.initial_window
        session.initial_window = value
        while slot < self.slots:
            if self.lanes[slot].session == number and self.lanes[slot].state == LANE_BUSY:
                self.lanes[slot].window += by
                if self.lanes[slot].window > H2_WINDOW_LIMIT_BYTES:
                    return False
            slot += self.connections
        return True

    cdef bint window_in(self, uint32_t number, H2Session *session, uint32_t bytes) noexcept nogil:
        """6.9; whether it is good."""
        cdef H2Lane *lane
        if bytes == 0:
            return False
        if session.id == 0:
            session.window += bytes
            if session.window > H2_WINDOW_LIMIT_BYTES:
                return False
        else:
            lane = self.lane_of(number, session.id)
            if lane == NULL:
                return session.id < session.next_id
            lane.window += bytes
            if lane.window > H2_WINDOW_LIMIT_BYTES:
                return False
        self.push_bodies(number, session)
        return True

    # Blocks of fields.

    cdef bint headers_in(self, uint32_t number, H2Session *session, const uint8_t *payload, uint32_t bytes,
                         IoEvent *event) noexcept nogil:
        """6.2: padding and priority off, then the block."""
        cdef uint32_t padding = 0, extra = 0
        if session.flags & H2_PADDED:
            padding = payload[0] if bytes > 0 else 0
            extra = 1
        if session.flags & H2_WITH_PRIORITY:
            extra += 5
        if bytes < extra + padding:
            self.break_session(number, ERROR_H2_PROTOCOL)
            return False
        session.block_id = session.id
        session.block_bytes = 0
        session.block_ends = session.flags & H2_END_STREAM != 0
        return self.block_in(number, session, payload + extra, bytes - extra - padding, event)

    cdef bint block_in(self, uint32_t number, H2Session *session, const uint8_t *part, uint32_t bytes,
                       IoEvent *event) noexcept nogil:
        """A part of a block of fields, mostly all of it."""
        cdef bint whole = session.flags & H2_END_HEADERS != 0
        cdef void *grown
        if not whole or session.block_bytes > 0:
            if session.block_bytes + bytes > H2_BLOCK_LIMIT_BYTES:
                self.break_session(number, ERROR_HEADER_TOO_LARGE)
                return False
            if session.block_bytes + bytes > session.block_room:
                grown = realloc(session.block, session.block_bytes + bytes)
                if grown == NULL:
                    self.break_session(number, ERROR_OTHER)
                    return False
                session.block = <uint8_t *> grown
                session.block_room = session.block_bytes + bytes
            memcpy(session.block + session.block_bytes, part, bytes)
            session.block_bytes += bytes
            if not whole:
                return False
            part = session.block
            bytes = session.block_bytes
        session.block_id = session.block_bytes = 0
        return self.fields_in(number, session, part, bytes, event)

    cdef bint fields_in(self, uint32_t number, H2Session *session, const uint8_t *block, uint32_t bytes,
                        IoEvent *event) noexcept nogil:
        """A whole block: the head of an answer, one before it (1xx), or what trails it."""
        cdef HpackHead head
        cdef HpackResult result = hpack_read(block, block + bytes, &head)
        cdef H2Lane *lane = self.lane_of(number, session.id)
        if result == HPACK_BROKEN:
            self.break_session(number, ERROR_H2_PROTOCOL)
            return False
        if lane == NULL:
            return False
        if result != HPACK_GOOD or (lane.status != 0) != (head.status == 0) or (lane.status != 0 and not session.block_ends):
            self.malformed(number, lane)
            return False
        if lane.status == 0:
            if lane.first_ns == 0:
                lane.first_ns = self.reading_ns
            if head.status < 200:
                if session.block_ends or head.status == 101:
                    self.malformed(number, lane)
                return False
            lane.status = head.status
            lane.content_length = head.content_length
            if self.decodings != NULL:
                self.take_codings(lane, &head)
            if self.location != NULL and 300 <= head.status < 400 and head.location.bytes > 0:
                return self.redirected(number, lane, session, &head.location, event)
        if session.block_ends:
            return self.answered(number, lane, session, event)
        return False

    cdef bint redirected(self, uint32_t number, H2Lane *lane, H2Session *session, const HpackText *location,
                         IoEvent *event) noexcept nogil:
        """Tell where an answer leads to, with its end or ahead of that."""
        cdef int bytes = hpack_decoded(location, self.location, HTTP1_LOCATION_LIMIT_BYTES)
        cdef bint told
        if bytes < 0 or bytes > HTTP1_LOCATION_LIMIT_BYTES:
            self.malformed(number, lane)
            return False
        if session.block_ends:
            told = self.answered(number, lane, session, event)
        else:
            self.fill(event, lane, IO_PROGRESS, session)
            told = True
        event.location = self.location
        event.location_bytes = <size_t> bytes
        return told
