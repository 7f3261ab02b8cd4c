# The sending side of HTTP/2: opens and ends connections and streams, and gives frames to the inner backend in batches.


cdef class H2Sender(Io):
    """Sends requests as streams of connections, which a backend below carries."""

    cdef:
        Io inner
        uint32_t slots              # one for each stream
        uint32_t streams_per_connection
        uint32_t connection_count
        H2Stream *streams
        H2Connection *connections         # number i and i + count have the same slots: i, i + count, ...
        uint32_t *current           # by number modulo count: the connection for new streams
        uint32_t *by_id             # of each connection: slots by the id of their stream
        uint32_t id_mask
        uint32_t *dirty
        uint32_t dirty_count
        uint32_t first_pending
        uint32_t last_pending
        uint32_t reporting          # the connection whose sent requests are being reported, or NO_SLOT
        uint32_t reporting_at
        uint32_t streams_allowed    # the least that a server has allowed; 0: none has said

    cdef inline uint32_t *cell(self, uint32_t number, uint32_t id) noexcept nogil:
        """The cell with the slot of a stream. Ids that share a cell are never in use together."""
        return &self.by_id[<size_t> number * (self.id_mask + 1) + (id >> 1 & self.id_mask)]

    cdef inline H2Stream *stream_of(self, uint32_t number, uint32_t id) noexcept nogil:
        """The stream of an id, if it has not ended; else NULL."""
        cdef uint32_t slot = self.cell(number, id)[0]
        if slot == NO_SLOT or self.streams[slot].id != id:
            return NULL
        return &self.streams[slot]

    cdef inline uint32_t slot_of(self, const H2Stream *stream) noexcept nogil:
        return <uint32_t> (stream - self.streams)

    # Events for the caller.

    cdef inline void post(self, H2Stream *stream, H2Event kind, int64_t result, int64_t time_ns) noexcept nogil:
        cdef uint32_t slot = self.slot_of(stream)
        stream.event = kind
        stream.event_result = result
        stream.event_ns = time_ns
        stream.joined = False
        if stream.listed:
            return
        stream.listed = True
        stream.next_pending = NO_SLOT
        if self.first_pending == NO_SLOT:
            self.first_pending = slot
        else:
            self.streams[self.last_pending].next_pending = slot
        self.last_pending = slot

    # Frames.

    cdef inline uint8_t *room(self, uint32_t number, size_t bytes) noexcept nogil:
        """Add `bytes` to the connection's output and return where they go; NULL without memory, which ends the connection."""
        cdef H2Connection *connection = &self.connections[number]
        cdef size_t wanted = connection.out_bytes + bytes
        cdef void *grown
        if wanted > connection.out_room:
            grown = realloc(connection.out, wanted * 2)
            if grown == NULL:
                return NULL
            connection.out = <uint8_t *> grown
            connection.out_room = wanted * 2
        connection.out_bytes = wanted
        self.mark_dirty(number, connection)
        return connection.out + wanted - bytes

    cdef inline void mark_dirty(self, uint32_t number, H2Connection *connection) noexcept nogil:
        if not connection.dirty:
            connection.dirty = True
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
        """Give the output of every connection to the inner backend."""
        cdef uint32_t at, number, left = 0
        cdef H2Connection *connection
        for at in range(self.dirty_count):
            number = self.dirty[at]
            connection = &self.connections[number]
            if number == self.reporting:
                self.dirty[left] = number  # its list of sent requests is still in use
                left += 1
                continue
            connection.dirty = False
            if connection.out_bytes > 0 and not connection.sending and connection.state >= H2_OPEN:
                self.flush(number, connection)
        self.dirty_count = left

    cdef inline void flush(self, uint32_t number, H2Connection *connection) noexcept nogil:
        cdef uint8_t *out = connection.out
        cdef size_t room = connection.out_room, bytes = connection.out_bytes
        cdef uint32_t *ending = connection.ending
        connection.out, connection.out_room, connection.out_bytes = connection.batch_data, connection.batch_room, 0
        connection.batch_data, connection.batch_room = out, room
        connection.ending, connection.sent = connection.sent, ending
        connection.sent_count = connection.ending_count
        connection.ending_count = 0
        connection.batch = connection.next_batch
        connection.next_batch += 1
        connection.sent_bytes += bytes
        connection.sending = True
        self.inner.send(number, connection.batch_data, bytes)

    # Streams.

    cdef inline void start_or_queue(self, H2Stream *stream) noexcept nogil:
        cdef H2Connection *connection = &self.connections[stream.connection]
        if connection.open_streams < connection.allowed:
            self.start_stream(stream, connection)
            return
        stream.state = STREAM_QUEUED
        stream.next_queued = NO_SLOT
        stream.last_queued = connection.last_queued
        if connection.last_queued == NO_SLOT:
            connection.first_queued = self.slot_of(stream)
        else:
            self.streams[connection.last_queued].next_queued = self.slot_of(stream)
        connection.last_queued = self.slot_of(stream)

    cdef inline void leave_queue(self, H2Stream *stream, H2Connection *connection) noexcept nogil:
        if stream.last_queued == NO_SLOT:
            connection.first_queued = stream.next_queued
        else:
            self.streams[stream.last_queued].next_queued = stream.next_queued
        if stream.next_queued == NO_SLOT:
            connection.last_queued = stream.last_queued
        else:
            self.streams[stream.next_queued].last_queued = stream.last_queued
        stream.state = STREAM_IDLE

    cdef inline void start_queued(self, H2Connection *connection) noexcept nogil:
        cdef H2Stream *stream
        while connection.first_queued != NO_SLOT and connection.open_streams < connection.allowed and connection.state == H2_OPEN:
            stream = &self.streams[connection.first_queued]
            self.leave_queue(stream, connection)
            self.start_stream(stream, connection)

    cdef inline void start_stream(self, H2Stream *stream, H2Connection *connection) noexcept nogil:
        """Send the head of a stream's request, and as much of its body as flow control allows."""
        cdef uint32_t number = stream.connection
        cdef size_t bytes
        cdef const uint8_t *frames = self.frames_of(stream, connection, &bytes)
        cdef uint8_t *at = self.room(number, bytes)
        cdef size_t offset = 0
        cdef uint32_t id = connection.next_id
        if at == NULL:
            self.post(stream, H2_EVENT_ANSWER, -ENOMEM, self.inner.now())
            return
        while self.cell(number, id)[0] != NO_SLOT:
            id += 2
        connection.next_id = id + 2
        if connection.next_id > H2_LAST_ID - 2 * self.id_mask - 2:
            connection.state = H2_DRAINING
            connection.last_id = H2_LAST_ID
        self.cell(number, id)[0] = self.slot_of(stream)
        memcpy(at, frames, bytes)
        stream.no_content = at[8] == H2_HEAD_REQUEST
        while offset < bytes:
            h2_put_uint32(at + offset + 5, id)
            offset += H2_HEAD_BYTES + (<size_t> at[offset + 1] << 8 | at[offset + 2])
        connection.open_streams += 1
        stream.state = STREAM_BUSY
        stream.id = id
        stream.status = 0
        stream.last_batch = 0
        stream.unreturned_bytes = 0
        stream.body_bytes = 0
        stream.content_length = -1
        stream.body = h2_body_of(stream.request)
        stream.body_left = stream.request_bytes - <size_t> (stream.body - stream.request)
        stream.credit = 0
        stream.fields_bytes = 0
        if stream.body_left == 0:
            self.finish_request(stream, connection)
        else:
            connection.blocked += 1
            self.push_body(stream, connection)

    cdef inline const uint8_t *frames_of(self, const H2Stream *stream, H2Connection *connection, size_t *bytes) noexcept nogil:
        """The frames with a request's fields, in the form that suits the connection now."""
        cdef const uint8_t *request = stream.request
        cdef size_t first = h2_uint32(request + H2_REQUEST_FIRST)
        cdef size_t later = h2_uint32(request + H2_REQUEST_LATER)
        cdef const uint8_t *frames = request + H2_REQUEST_HEAD_BYTES
        cdef uint32_t table_bytes = h2_uint32(request + H2_REQUEST_TABLE)
        if table_bytes == H2_REQUEST_UNPRIMED:
            bytes[0] = first
            return frames
        if connection.table_bytes < table_bytes:
            bytes[0] = h2_uint32(request + H2_REQUEST_PLAIN)
            return frames + first + later
        if connection.primed:
            bytes[0] = later
            return frames + first
        connection.primed = True
        bytes[0] = first
        return frames

    cdef inline void finish_request(self, H2Stream *stream, H2Connection *connection) noexcept nogil:
        """Take note that a stream's request ends in the next batch."""
        stream.last_batch = connection.next_batch
        # There can be more only if a stream began two requests in one batch. Then the first one has ended.
        if connection.ending_count < self.streams_per_connection:
            connection.ending[connection.ending_count] = self.slot_of(stream)
            connection.ending_count += 1

    cdef void push_body(self, H2Stream *stream, H2Connection *connection) noexcept nogil:
        """Send DATA frames as the server's windows allow (5.2)."""
        cdef int64_t bytes
        cdef uint8_t *at
        while stream.body_left > 0 and connection.out_bytes < H2_AHEAD_BYTES:
            bytes = min(<int64_t> stream.body_left, <int64_t> connection.max_frame_bytes)
            bytes = min(bytes, min(connection.initial_window + stream.credit, connection.window))
            if bytes <= 0:
                return
            at = self.room(stream.connection, H2_HEAD_BYTES + <size_t> bytes)
            if at == NULL:
                return
            h2_put_head(at, <uint32_t> bytes, H2_DATA, H2_END_STREAM if <size_t> bytes == stream.body_left else 0, stream.id)
            memcpy(at + H2_HEAD_BYTES, stream.body, <size_t> bytes)
            stream.body += bytes
            stream.body_left -= <size_t> bytes
            stream.credit -= bytes
            connection.window -= bytes
        if stream.body_left == 0:
            connection.blocked -= 1
            self.finish_request(stream, connection)

    cdef void push_bodies(self, uint32_t number, H2Connection *connection) noexcept nogil:
        """Go on with bodies that waited for a window, or for room."""
        cdef uint32_t slot = number % self.connection_count
        self.count_search()
        while slot < self.slots and connection.blocked > 0 and connection.out_bytes < H2_AHEAD_BYTES:
            if self.streams[slot].connection == number and self.streams[slot].state == STREAM_BUSY and self.streams[slot].body_left > 0:
                self.push_body(&self.streams[slot], connection)
            slot += self.connection_count

    cdef inline void end_stream(self, H2Stream *stream, H2Connection *connection) noexcept nogil:
        """End a request's stream; its slot stays on the connection."""
        self.cell(stream.connection, stream.id)[0] = NO_SLOT
        if stream.body_left > 0:
            connection.blocked -= 1
            stream.body_left = 0
        stream.id = 0
        stream.state = STREAM_IDLE
        connection.open_streams -= 1
        if connection.first_queued != NO_SLOT:
            self.start_queued(connection)

    cdef void fail_stream(self, H2Stream *stream, int kind, int64_t time_ns) noexcept nogil:
        """End a stream's request with an error kind."""
        cdef H2Connection *connection = &self.connections[stream.connection]
        if stream.state == STREAM_QUEUED:
            self.leave_queue(stream, connection)
        elif stream.state == STREAM_BUSY:
            self.end_stream(stream, connection)
        self.post(stream, H2_EVENT_ANSWER, -(TLS_FAILURE + kind), time_ns)

    # Connections.

    cdef inline void count_search(self) noexcept nogil:
        """Count the work of looking at all streams of a connection."""
        self.work.left -= self.streams_per_connection >> WORK_STREAMS_SHIFT

    cdef void open_connection(self, uint32_t number, const sockaddr *address, socklen_t length,
                           const sockaddr *source) noexcept nogil:
        self.connections[number].state = H2_CONNECTING
        self.inner.connect(number, address, length, source)

    cdef void on_connected(self, uint32_t number, const IoEvent *event) noexcept nogil:
        """Send the connection preface, and tell the streams that wait for the connection."""
        cdef H2Connection *connection = &self.connections[number]
        cdef uint32_t slot = number % self.connection_count
        cdef uint8_t *at
        cdef bint joined = False
        connection.state = H2_OPEN
        connection.settled = connection.sending = connection.primed = connection.broken = connection.unblocked = False
        self.count_search()
        connection.table_bytes = HPACK_TABLE_BYTES
        connection.allowed = min(self.streams_per_connection, <uint32_t> H2_STREAMS_START)
        connection.open_streams = connection.blocked = connection.unreturned_bytes = 0
        connection.first_queued = connection.last_queued = NO_SLOT
        connection.next_id = 1
        connection.max_frame_bytes = H2_FRAME_BYTES
        connection.window = connection.initial_window = H2_WINDOW_START_BYTES
        connection.out_bytes = connection.ending_count = connection.sent_count = 0
        connection.head_bytes = connection.partial_bytes = connection.block_id = connection.block_bytes = 0
        connection.sent_bytes = connection.received_bytes = 0
        connection.next_batch = 1
        connection.last_received_ns = event.time_ns
        connection.handshake_ns = event.handshake_ns
        connection.resumed = event.resumed
        memset(self.cell(number, 0), 0xff, (self.id_mask + 1) * sizeof(uint32_t))
        at = self.room(number, h2_opening_length)
        if at != NULL:
            memcpy(at, h2_opening, h2_opening_length)
        while slot < self.slots:
            if self.streams[slot].connection == number and self.streams[slot].state == STREAM_WAITING:
                self.streams[slot].state = STREAM_IDLE
                self.post(&self.streams[slot], H2_EVENT_CONNECT, 0, event.time_ns)
                self.streams[slot].joined = joined
                joined = True
            slot += self.connection_count

    cdef void end_connection(self, uint32_t number, int64_t result, int64_t time_ns) noexcept nogil:
        """End a connection and its streams. `result` is 0, or a negative errno or failure."""
        cdef H2Connection *connection = &self.connections[number]
        cdef uint32_t slot = number % self.connection_count
        cdef bint reopens = False
        cdef bint connecting = connection.state == H2_CONNECTING
        cdef H2Stream *stream
        self.inner.close(number)
        self.count_search()
        connection.state = H2_CLOSED
        connection.out_bytes = connection.ending_count = 0
        connection.sending = False
        if self.reporting == number:
            self.reporting = NO_SLOT
        while slot < self.slots:
            stream = &self.streams[slot]
            slot += self.connection_count
            if stream.connection != number:
                continue
            if stream.state == STREAM_WAITING and not connecting:
                reopens = True  # it waits for a connection that is drained to be opened anew
                continue
            stream.connection = NO_SLOT
            connection.attached -= 1
            if stream.state == STREAM_WAITING:
                self.post(stream, H2_EVENT_CONNECT, result, time_ns)
            elif connection.broken and (stream.state != STREAM_IDLE or stream.event == H2_EVENT_CONNECT):
                # Another connection would be broken too: the request must not be sent again.
                self.post(stream, H2_EVENT_CONNECT if stream.state == STREAM_IDLE else H2_EVENT_ANSWER, result, time_ns)
            elif stream.state == STREAM_QUEUED:
                self.post(stream, H2_EVENT_ANSWER, -(TLS_FAILURE + <int> ERROR_H2_REFUSED), time_ns)
            elif stream.state == STREAM_BUSY and stream.status != 0:
                self.post(stream, H2_EVENT_ANSWER, result if result < 0 else -(TLS_FAILURE + <int> ERROR_CLOSED_EARLY), time_ns)
            elif stream.state == STREAM_BUSY or stream.event == H2_EVENT_NONE:
                self.post(stream, H2_EVENT_RECEIVED, result, time_ns)
            stream.state = STREAM_CLOSED
            stream.body_left = 0
        if reopens:
            self.open_connection(number, connection.address, connection.address_bytes, connection.source)

    cdef void drain(self, uint32_t number, uint32_t last_id, int64_t time_ns) noexcept nogil:
        """Begin no new streams. Those after `last_id` were not processed, and are refused (6.8)."""
        cdef H2Connection *connection = &self.connections[number]
        cdef uint32_t slot = number % self.connection_count
        cdef H2Stream *stream
        self.count_search()
        connection.state = H2_DRAINING
        connection.last_id = last_id
        while slot < self.slots:
            stream = &self.streams[slot]
            slot += self.connection_count
            if stream.connection != number:
                continue
            if stream.state == STREAM_QUEUED or (stream.state == STREAM_BUSY and stream.id > last_id):
                self.fail_stream(stream, ERROR_H2_REFUSED, time_ns)
            elif stream.state == STREAM_IDLE and stream.event == H2_EVENT_NONE:
                self.post(stream, H2_EVENT_RECEIVED, 0, time_ns)
