# What a worker counts and measures of its requests: where each number belongs, and what an answer adds to all of them.


cdef class Tallies:

    cdef:
        Io io
        Conn *conns
        Recorder recorder
        Shape shape                 # of the load; it tells the stage of a request
        uint32_t stage              # of the latest
        bint stamped                # the kernel's stamps are asked for
        bint scheduled              # requests have intended instants
        int64_t start_ns
        int64_t warm_until_ns       # what is intended before is warm-up
        Message *messages           # the plan's requests
        uint32_t message_count
        Decoding *decodings         # of the connections; NULL: content is not decoded
        DecodePool decode_pool

    cdef inline Bank *bank(self, const Conn *conn) noexcept nogil:
        """Where the connection's request is counted."""
        return &self.recorder.active.warmup if conn.warm else &self.recorder.active.all

    cdef inline Bank *part(self, const Conn *conn) noexcept nogil:
        """Where it is counted once more, or NULL."""
        if self.recorder.part_count == 0 or conn.warm:
            return NULL
        return &self.recorder.active.parts[conn.part]

    cdef inline void place(self, Conn *conn) noexcept nogil:
        """Find where the connection's request belongs to."""
        if self.shape.count > 1:
            self.stage = shape_stage_at(&self.shape, conn.intended_ns - self.start_ns, self.stage)
        conn.part = self.stage * self.message_count + conn.request
        conn.warm = conn.intended_ns < self.warm_until_ns

    cdef void count_handshake(self, const IoEvent *event) noexcept nogil:
        hdr_record(&self.recorder.active.all.metrics[METRIC_HANDSHAKE], event.handshake_ns)
        if event.resumed:
            self.recorder.active.all.tally.handshakes_resumed += 1
        else:
            self.recorder.active.all.tally.handshakes_full += 1

    cdef void count_bad_response(self, const Conn *conn) noexcept nogil:
        cdef Bank *part = self.part(conn)
        self.bank(conn).tally.bad_responses[conn.parser.reason] += 1
        if part != NULL:
            part.tally.bad_responses[conn.parser.reason] += 1

    cdef inline void record(self, Conn *conn, Bank *bank, int64_t done_ns) noexcept nogil:
        # An answer may come before the request was sent whole; its writing then ended, for us, with the answer's first byte.
        cdef int64_t written_ns = conn.written_ns if conn.written_ns != 0 else conn.first_byte_ns
        cdef Bank *part = self.part(conn)
        bank.tally.responses[conn.parser.status] += 1
        bank.tally.body_bytes += conn.parser.body_bytes
        if not conn.warm:
            self.recorder.active.addresses[conn.address].responses += 1
        hdr_record(&bank.metrics[METRIC_LATENCY], done_ns - conn.intended_ns)
        if self.scheduled:
            hdr_record(&bank.metrics[METRIC_SERVICE_TIME], done_ns - conn.sent_ns)
        if part != NULL:
            part.tally.responses[conn.parser.status] += 1
            part.tally.body_bytes += conn.parser.body_bytes
            hdr_record(&part.metrics[METRIC_LATENCY], done_ns - conn.intended_ns)
            if self.scheduled:
                hdr_record(&part.metrics[METRIC_SERVICE_TIME], done_ns - conn.sent_ns)
        if self.decodings != NULL:
            bank.tally.decoded_bytes += conn.parser.decoding.decoded_bytes
            if part != NULL:
                part.tally.decoded_bytes += conn.parser.decoding.decoded_bytes
        if self.stamped:
            self.record_kernel_latency(conn, bank)
        hdr_record(&bank.metrics[METRIC_REQUEST_WRITE], written_ns - conn.ready_ns)
        hdr_record(&bank.metrics[METRIC_WAIT], conn.first_byte_ns - written_ns)
        hdr_record(&bank.metrics[METRIC_READ], done_ns - conn.first_byte_ns)
        if self.recorder.trace_capacity > 0 and not conn.warm:
            self.trace_request(conn, written_ns, done_ns)

    cdef void record_kernel_latency(self, const Conn *conn, Bank *bank) noexcept nogil:
        cdef int64_t latency_ns = self.io.kernel_latency_ns(conn.slot)
        if latency_ns >= 0:
            hdr_record(&bank.metrics[METRIC_KERNEL_LATENCY], latency_ns)

    cdef void trace_request(self, const Conn *conn, int64_t written_ns, int64_t done_ns) noexcept nogil:
        cdef TraceRow row
        row.offset_ns = conn.intended_ns - self.start_ns
        row.latency_ns = done_ns - conn.intended_ns
        row.connect_ns = conn.connect_took_ns
        row.lookup_ns = 0
        row.write_ns = written_ns - conn.ready_ns
        row.wait_ns = conn.first_byte_ns - written_ns
        row.read_ns = done_ns - conn.first_byte_ns
        row.status = conn.parser.status
        row.reserved = 0
        recorder_trace(&self.recorder, &row)
