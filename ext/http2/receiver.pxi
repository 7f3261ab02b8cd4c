# The receiving side of HTTP/2: splits a connection's bytes into frames, checks them (RFC 9113, 4 to 6) and reports responses.
# An error of the peer ends the stream if only that is affected, and the connection if nothing on it can be trusted any more.
# Frames of streams that have ended here (a request that timed out) are counted and dropped.


cdef class H2Receiver(H2Sender):
    """Reads responses from connections, whose bytes a backend below delivers."""

    cdef:
        uint32_t reading            # the connection whose bytes are being read, or NO_SLOT
        int64_t reading_ns
        const uint8_t *at           # what is not read yet
        size_t left                 # bytes from there on
        uint8_t *location           # of the last redirect; NULL: locations are not reported
        Decoding *decodings         # by slot; NULL: content is not decoded

    cdef inline bint read_frames(self, IoEvent *event) noexcept nogil:
        """Read frames until one yields an event, or no bytes are left, which ends `reading`."""
        cdef uint32_t number = self.reading
        cdef H2Connection *connection = &self.connections[number]
        while self.reading == number and self.left > 0 and self.work.left > 0:
            if self.read_piece(number, connection, event):
                return True
        if self.reading == number and self.left == 0:
            self.reading = NO_SLOT
            if connection.unblocked:
                connection.unblocked = False
                self.push_bodies(number, connection)
            return self.report_progress(connection, event)
        return False

    cdef inline bint report_progress(self, H2Connection *connection, IoEvent *event) noexcept nogil:
        """Report the progress of a long response."""
        cdef H2Stream *stream
        if connection.received_bytes < H2_AHEAD_BYTES or connection.head_bytes < H2_HEAD_BYTES or connection.type != H2_DATA:
            return False
        stream = self.stream_of(<uint32_t> (connection - self.connections), connection.id)
        if stream == NULL:
            return False
        self.fill(event, stream, IO_PROGRESS, connection)
        return True

    cdef inline void fill(self, IoEvent *event, const H2Stream *stream, IoOp op, H2Connection *connection) noexcept nogil:
        event.slot = self.slot_of(stream)
        event.op = op
        event.result = <int64_t> connection.received_bytes
        event.data = NULL
        event.time_ns = self.reading_ns
        event.first_ns = stream.first_ns
        event.location_bytes = 0
        connection.received_bytes = 0

    cdef inline bint read_piece(self, uint32_t number, H2Connection *connection, IoEvent *event) noexcept nogil:
        """Read a frame, or the part of it that is there; return whether that yields an event."""
        cdef uint32_t taken
        cdef const uint8_t *payload
        if connection.head_bytes < H2_HEAD_BYTES:
            taken = <uint32_t> min(<size_t> (H2_HEAD_BYTES - connection.head_bytes), self.left)
            memcpy(connection.head + connection.head_bytes, self.at, taken)
            self.take(connection, taken)
            connection.head_bytes += taken
            if connection.head_bytes < H2_HEAD_BYTES:
                return False
            if not self.parse_frame_head(connection):
                self.break_connection(number, ERROR_H2_PROTOCOL)
                return False
        if connection.type == H2_DATA:
            return self.read_data(number, connection, event)
        taken = <uint32_t> min(<size_t> (connection.left_bytes - connection.partial_bytes), self.left)
        payload = self.at
        if connection.partial_bytes > 0 or taken < connection.left_bytes:
            if not h2_append(&connection.partial, &connection.partial_bytes, &connection.partial_room, connection.left_bytes,
                             self.at, taken):
                self.break_connection(number, ERROR_OTHER)
                return False
            payload = connection.partial
        self.take(connection, taken)
        if connection.partial_bytes > 0 and connection.partial_bytes < connection.left_bytes:
            return False
        if taken < connection.left_bytes and connection.partial_bytes == 0:
            return False
        connection.head_bytes = connection.partial_bytes = 0
        return self.on_frame(number, connection, payload, event)

    cdef inline void take(self, H2Connection *connection, uint32_t bytes) noexcept nogil:
        self.at += bytes
        self.left -= bytes
        connection.received_bytes += bytes

    cdef inline bint parse_frame_head(self, H2Connection *connection) noexcept nogil:
        """Parse a frame's head; return whether a frame of this length, kind and stream may come now."""
        cdef const uint8_t *head = connection.head
        connection.left_bytes = <uint32_t> head[0] << 16 | <uint32_t> head[1] << 8 | head[2]
        connection.type = head[3]
        connection.flags = head[4]
        connection.id = h2_uint32(head + 5) & H2_LAST_ID
        connection.padding_bytes = 0
        connection.padded = connection.flags & H2_PADDED != 0
        if connection.left_bytes > H2_FRAME_BYTES:
            return False
        if not connection.settled and connection.type != H2_SETTINGS:
            return False  # 3.4: the server's settings come first
        if (connection.block_id != 0) != (connection.type == H2_CONTINUATION) or connection.block_id not in (0, connection.id):
            return False  # 4.3: nothing comes between the parts of a block
        if connection.type in (H2_DATA, H2_HEADERS, H2_RST_STREAM, H2_PRIORITY, H2_CONTINUATION):
            return connection.id & 1 and (connection.id < connection.next_id or connection.type == H2_PRIORITY)
        if connection.type in (H2_SETTINGS, H2_PING, H2_GOAWAY):
            return connection.id == 0
        return connection.type != H2_PUSH_PROMISE

    cdef bint read_data(self, uint32_t number, H2Connection *connection, IoEvent *event) noexcept nogil:
        """Read content (6.1); return whether that yields an event."""
        cdef H2Stream *stream = self.stream_of(number, connection.id)
        cdef uint32_t taken, content
        cdef DecodeResult decoded = DECODE_GOOD
        if connection.padded:
            if connection.left_bytes == 0 or (self.left > 0 and self.at[0] >= connection.left_bytes):
                self.break_connection(number, ERROR_H2_PROTOCOL)
                return False
            if self.left == 0:
                return False
            connection.padding_bytes = self.at[0]
            connection.padded = False
            connection.left_bytes -= 1
            connection.unreturned_bytes += 1
            self.take(connection, 1)
        taken = <uint32_t> min(<size_t> connection.left_bytes, self.left)
        content = min(taken, connection.left_bytes - connection.padding_bytes if connection.left_bytes > connection.padding_bytes else 0)
        if self.decodings != NULL and stream != NULL and stream.status != 0:
            decoded = decode_feed(&self.decodings[self.slot_of(stream)], self.at, content)
            if decoded == DECODE_PAUSED:
                return False  # the bytes stay unread
        connection.left_bytes -= taken
        connection.unreturned_bytes += taken
        self.take(connection, taken)
        if connection.unreturned_bytes >= H2_WINDOW_BYTES // 2:
            self.put_number(number, H2_WINDOW_UPDATE, 0, connection.unreturned_bytes)
            connection.unreturned_bytes = 0
        if connection.left_bytes == 0:
            connection.head_bytes = 0
        if stream == NULL:
            return False
        if stream.status == 0:
            self.reject_stream(number, stream)
            return False
        stream.body_bytes += content
        if decoded != DECODE_GOOD:
            self.put_number(number, H2_RST_STREAM, stream.id, H2_CANCEL)
            self.fail_stream(stream, error_from_decode(decoded), self.reading_ns)
            return False
        stream.unreturned_bytes += taken
        if connection.left_bytes == 0 and connection.flags & H2_END_STREAM:
            return self.complete_stream(number, stream, connection, event)
        if stream.unreturned_bytes >= H2_WINDOW_BYTES // 2:
            self.put_number(number, H2_WINDOW_UPDATE, connection.id, stream.unreturned_bytes)
            stream.unreturned_bytes = 0
        return False

    cdef void set_codings(self, H2Stream *stream, const HpackHead *head) noexcept nogil:
        """Take the content codings from a response's head."""
        cdef Decoding *decoding = &self.decodings[self.slot_of(stream)]
        cdef uint8_t text[CODING_TEXT_BYTES]
        cdef uint32_t index
        cdef int bytes
        if head.coding_count > HPACK_CODINGS_AT_MOST:
            decoding.text_bytes = CODING_TEXT_BYTES + 1  # too many
            return
        for index in range(head.coding_count):
            bytes = hpack_decoded(&head.codings[index], text, CODING_TEXT_BYTES)
            if index > 0:
                decode_text(decoding, b",", 1)
            if bytes < 0:
                decoding.text_bytes = CODING_TEXT_BYTES + 1
                return
            decode_text(decoding, text, <size_t> bytes)

    cdef bint complete_stream(self, uint32_t number, H2Stream *stream, H2Connection *connection, IoEvent *event) noexcept nogil:
        """End a stream whose response is complete; return whether that yields an event."""
        if stream.status == 0 or (stream.content_length >= 0 and <uint64_t> stream.content_length != stream.body_bytes
                                and not (stream.body_bytes == 0 and (stream.no_content or stream.status == 304))):
            self.reject_stream(number, stream)
            return False
        if self.decodings != NULL and decode_end(&self.decodings[self.slot_of(stream)]) != DECODE_GOOD:
            self.fail_stream(stream, ERROR_CONTENT_BROKEN, self.reading_ns)
            return False
        if stream.body_left > 0:
            self.put_number(number, H2_RST_STREAM, stream.id, H2_NO_ERROR)  # 8.1: the server needs no more of the request
        self.fill(event, stream, IO_ANSWER, connection)
        event.status = stream.status
        event.body_bytes = stream.body_bytes
        self.end_stream(stream, connection)
        event.last = connection.state != H2_OPEN
        return True

    cdef void reject_stream(self, uint32_t number, H2Stream *stream) noexcept nogil:
        """End a stream with a malformed response (8.1.1)."""
        self.put_number(number, H2_RST_STREAM, stream.id, H2_PROTOCOL_ERROR)
        self.fail_stream(stream, ERROR_H2_PROTOCOL, self.reading_ns)

    cdef void break_connection(self, uint32_t number, int kind) noexcept nogil:
        """End a connection whose peer violates the protocol; the rest of its bytes is ignored."""
        if self.reading == number:
            self.reading = NO_SLOT
            self.left = 0
        self.connections[number].broken = True
        self.end_connection(number, -(TLS_FAILURE + kind), self.reading_ns)

    cdef bint on_frame(self, uint32_t number, H2Connection *connection, const uint8_t *payload, IoEvent *event) noexcept nogil:
        """Handle a complete frame other than DATA; return whether that yields an event."""
        cdef uint32_t bytes = connection.left_bytes
        cdef bint good = True
        if connection.type == H2_HEADERS:
            return self.on_headers(number, connection, payload, bytes, event)
        if connection.type == H2_CONTINUATION:
            return self.on_block(number, connection, payload, bytes, event)
        if connection.type == H2_RST_STREAM:
            good = bytes == 4
            if good:
                self.on_reset(number, connection, h2_uint32(payload))
        elif connection.type == H2_SETTINGS:
            good = self.on_settings(number, connection, payload, bytes)
        elif connection.type == H2_PING:
            good = bytes == 8 and connection.out_bytes < H2_FLOOD_BYTES
            if good and not connection.flags & H2_ACK:
                self.put_frame(number, H2_PING, H2_ACK, 0, payload, 8)
        elif connection.type == H2_GOAWAY:
            if bytes >= 8:
                return self.on_goaway(number, connection, h2_uint32(payload) & H2_LAST_ID, event)
            good = False
        elif connection.type == H2_WINDOW_UPDATE:
            good = bytes == 4 and self.on_window_update(number, connection, h2_uint32(payload) & H2_LAST_ID)
        elif connection.type == H2_PRIORITY:
            good = bytes == 5
        if not good:
            self.break_connection(number, ERROR_H2_PROTOCOL)
        return False

    cdef void on_reset(self, uint32_t number, H2Connection *connection, uint32_t code) noexcept nogil:
        cdef H2Stream *stream = self.stream_of(number, connection.id)
        if stream != NULL:
            self.fail_stream(stream, ERROR_H2_REFUSED if code == H2_REFUSED_STREAM else ERROR_H2_RESET, self.reading_ns)

    cdef bint on_goaway(self, uint32_t number, H2Connection *connection, uint32_t last_id, IoEvent *event) noexcept nogil:
        """Begin no more requests on a connection (6.8). The server may say so twice, the second time with a lower id."""
        event.slot = number % self.connection_count
        event.op = IO_GOAWAY
        event.result = 0
        event.data = NULL
        event.time_ns = self.reading_ns
        if connection.state == H2_OPEN or last_id < connection.last_id:
            self.drain(number, last_id, self.reading_ns)
        return True

    cdef bint on_settings(self, uint32_t number, H2Connection *connection, const uint8_t *payload, uint32_t bytes) noexcept nogil:
        """Apply settings (6.5). False: they are invalid."""
        cdef uint32_t offset = 0, name, value
        if connection.flags & H2_ACK:
            return bytes == 0 and connection.settled
        if bytes % 6 != 0 or connection.out_bytes >= H2_FLOOD_BYTES:
            return False
        if not connection.settled:
            connection.allowed = self.streams_per_connection
            connection.settled = True
        while offset < bytes:
            name = <uint32_t> payload[offset] << 8 | payload[offset + 1]
            value = h2_uint32(payload + offset + 2)
            offset += 6
            if name == H2_MAX_STREAMS:
                connection.allowed = min(value, self.streams_per_connection)
                self.streams_allowed = min(value, self.streams_allowed or value)
            elif name == H2_TABLE_BYTES:
                connection.table_bytes = min(value, connection.table_bytes)
            elif name == H2_INITIAL_WINDOW:
                if value > H2_WINDOW_LIMIT_BYTES:
                    return False
                connection.initial_window = <int64_t> value
            elif name == H2_MAX_FRAME:
                if not H2_FRAME_BYTES <= value <= H2_FRAME_LIMIT_BYTES:
                    return False
                connection.max_frame_bytes = value
        self.put_frame(number, H2_SETTINGS, H2_ACK, 0, NULL, 0)
        self.start_queued(connection)
        connection.unblocked = True
        return True

    cdef bint on_window_update(self, uint32_t number, H2Connection *connection, uint32_t bytes) noexcept nogil:
        """Enlarge a window (6.9). False: the frame is invalid."""
        cdef H2Stream *stream
        if bytes == 0:
            return False
        if connection.id == 0:
            connection.window += bytes
            connection.unblocked = True
            return connection.window <= H2_WINDOW_LIMIT_BYTES
        stream = self.stream_of(number, connection.id)
        if stream == NULL:
            return connection.id < connection.next_id
        stream.credit += bytes
        if connection.initial_window + stream.credit > H2_WINDOW_LIMIT_BYTES:
            return False
        if stream.body_left > 0:
            self.push_body(stream, connection)
        return True

    # Blocks of fields.

    cdef bint on_headers(self, uint32_t number, H2Connection *connection, const uint8_t *payload, uint32_t bytes,
                         IoEvent *event) noexcept nogil:
        """Strip padding and priority (6.2), and handle the block."""
        cdef uint32_t padding = 0, extra = 0
        if connection.flags & H2_PADDED:
            padding = payload[0] if bytes > 0 else 0
            extra = 1
        if connection.flags & H2_WITH_PRIORITY:
            extra += 5
        if bytes < extra + padding:
            self.break_connection(number, ERROR_H2_PROTOCOL)
            return False
        connection.block_id = connection.id
        connection.block_bytes = 0
        connection.block_ends = connection.flags & H2_END_STREAM != 0
        return self.on_block(number, connection, payload + extra, bytes - extra - padding, event)

    cdef bint on_block(self, uint32_t number, H2Connection *connection, const uint8_t *part, uint32_t bytes,
                       IoEvent *event) noexcept nogil:
        """Handle a block of fields, once its last fragment has come."""
        cdef bint whole = connection.flags & H2_END_HEADERS != 0
        if not whole and bytes == 0 and connection.type == H2_CONTINUATION:
            self.break_connection(number, ERROR_H2_PROTOCOL)  # the block might never end
            return False
        if not whole or connection.block_bytes > 0:
            if connection.block_bytes + bytes > H2_BLOCK_LIMIT_BYTES:
                self.break_connection(number, ERROR_HEADER_TOO_LARGE)
                return False
            if not h2_append(&connection.block, &connection.block_bytes, &connection.block_room,
                             connection.block_bytes + bytes, part, bytes):
                self.break_connection(number, ERROR_OTHER)
                return False
            if not whole:
                return False
            part = connection.block
            bytes = connection.block_bytes
        connection.block_id = connection.block_bytes = 0
        return self.on_fields(number, connection, part, bytes, event)

    cdef bint on_fields(self, uint32_t number, H2Connection *connection, const uint8_t *block, uint32_t bytes,
                        IoEvent *event) noexcept nogil:
        """Handle a whole block: the head of a response, final or interim (1xx), or its trailers."""
        cdef HpackHead head
        cdef HpackResult result = hpack_read(block, block + bytes, &head)
        cdef H2Stream *stream = self.stream_of(number, connection.id)
        self.work.left -= bytes >> WORK_FIELDS_SHIFT
        if result == HPACK_BROKEN:
            self.break_connection(number, ERROR_H2_PROTOCOL)
            return False
        if stream == NULL:
            return False
        stream.fields_bytes += bytes
        if stream.fields_bytes > H2_BLOCK_LIMIT_BYTES:
            self.put_number(number, H2_RST_STREAM, stream.id, H2_CANCEL)
            self.fail_stream(stream, ERROR_HEADER_TOO_LARGE, self.reading_ns)
            return False
        if result != HPACK_GOOD or (stream.status != 0) != (head.status == 0) or (stream.status != 0 and not connection.block_ends):
            self.reject_stream(number, stream)
            return False
        if stream.status == 0:
            if stream.first_ns == 0:
                stream.first_ns = self.reading_ns
            if head.status < 200:
                if connection.block_ends or head.status == 101:
                    self.reject_stream(number, stream)
                return False
            stream.status = head.status
            stream.content_length = head.content_length
            if self.decodings != NULL:
                self.set_codings(stream, &head)
            if self.location != NULL and 300 <= head.status < 400 and head.location.bytes > 0:
                return self.report_location(number, stream, connection, &head.location, event)
        if connection.block_ends:
            return self.complete_stream(number, stream, connection, event)
        return False

    cdef bint report_location(self, uint32_t number, H2Stream *stream, H2Connection *connection, const HpackText *location,
                         IoEvent *event) noexcept nogil:
        """Report the Location of a redirect, with the end of the response or ahead of it."""
        cdef int bytes = hpack_decoded(location, self.location, HTTP1_LOCATION_LIMIT_BYTES)
        cdef bint reported
        if bytes < 0 or bytes > HTTP1_LOCATION_LIMIT_BYTES:
            self.reject_stream(number, stream)
            return False
        if connection.block_ends:
            reported = self.complete_stream(number, stream, connection, event)
        else:
            self.fill(event, stream, IO_PROGRESS, connection)
            reported = True
        event.location = self.location
        event.location_bytes = <size_t> bytes
        return reported
