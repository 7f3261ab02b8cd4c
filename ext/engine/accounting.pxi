# The one place where a worker counts: what each request adds, and to which metrics.


@final
cdef class Accounting:

    cdef:
        Recorder recorder
        const LoadProfile *profile  # it gives the stage of a request
        uint32_t stage              # of the latest request
        uint32_t request_count      # of the plan
        bint scheduled              # requests have intended instants
        bint decodes                # content is decoded
        bint stamped                # the kernel's timestamps are measured
        IoStack io
        int64_t start_ns
        int64_t warm_until_ns       # what is intended earlier is warm-up
        # Totals of the measured part of the load.
        uint64_t begun
        uint64_t answered
        uint64_t failed
        uint64_t dropped
        uint64_t warm_begun         # of the warm-up
        uint32_t in_flight          # of both

    def __cinit__(self):
        memset(&self.recorder, 0, sizeof(self.recorder))

    def __dealloc__(self):
        recorder_free(&self.recorder)

    cdef inline Metrics *metrics(self, MetricsKey key) noexcept nogil:
        """The metrics that a request counts into."""
        return &self.recorder.active.warmup if key.warm else &self.recorder.active.all

    cdef inline Metrics *breakdown(self, MetricsKey key) noexcept nogil:
        """The breakdown that it counts into as well, or NULL."""
        if self.recorder.breakdown_count == 0 or key.warm:
            return NULL
        return &self.recorder.active.breakdowns[key.breakdown]

    cdef inline Metrics *metrics_at(self, int64_t now_ns) noexcept nogil:
        """The metrics for what belongs to no request."""
        return &self.recorder.active.warmup if now_ns < self.warm_until_ns else &self.recorder.active.all

    cdef inline MetricsKey key_of(self, int64_t intended_ns, uint32_t request) noexcept nogil:
        """Find out what a request counts into."""
        cdef MetricsKey key
        if self.profile.count > 1:
            self.stage = profile_stage_at(self.profile, intended_ns - self.start_ns, self.stage)
        key.breakdown = self.stage * self.request_count + request
        key.warm = intended_ns < self.warm_until_ns
        return key

    # Requests.

    cdef inline void count_sent(self, MetricsKey key) noexcept nogil:
        cdef Metrics *breakdown = self.breakdown(key)
        if breakdown != NULL:
            breakdown.counters.sent += 1
        if key.warm:
            self.warm_begun += 1
        else:
            self.begun += 1
        self.in_flight += 1
        self.metrics(key).counters.sent += 1

    cdef void count_dropped(self, MetricsKey key) noexcept nogil:
        """Count a request that is not sent, since the generator is too late for it."""
        cdef Metrics *breakdown = self.breakdown(key)
        if breakdown != NULL:
            breakdown.counters.dropped += 1
        self.metrics(key).counters.dropped += 1
        if not key.warm:
            self.dropped += 1

    cdef void count_abandoned(self, MetricsKey key) noexcept nogil:
        cdef Metrics *breakdown = self.breakdown(key)
        self.metrics(key).counters.abandoned += 1
        if breakdown != NULL:
            breakdown.counters.abandoned += 1
        self.in_flight -= 1

    cdef void count_failed(self, const Conn *conn, int kind) noexcept nogil:
        """Count a request that has ended without a response, by its error kind."""
        cdef Metrics *breakdown = self.breakdown(conn.key)
        self.metrics(conn.key).outcomes.errors[kind] += 1
        if breakdown != NULL:
            breakdown.outcomes.errors[kind] += 1
        if not conn.key.warm:
            self.failed += 1
            self.recorder.active.addresses[conn.address].errors += 1
        self.in_flight -= 1

    cdef void count_bad_response(self, const Conn *conn) noexcept nogil:
        """Count why a response is bad; the failure itself is counted by count_failed."""
        cdef Metrics *breakdown = self.breakdown(conn.key)
        self.metrics(conn.key).outcomes.bad_responses[conn.parser.reason] += 1
        if breakdown != NULL:
            breakdown.outcomes.bad_responses[conn.parser.reason] += 1

    cdef inline void count_answered(self, Conn *conn, int64_t done_ns) noexcept nogil:
        """Count a request whose response is complete, and record its times."""
        cdef Metrics *metrics = self.metrics(conn.key)
        cdef Metrics *breakdown = self.breakdown(conn.key)
        # A response may come before its request is written. The write then ended, for us, with the response's first byte.
        cdef int64_t written_ns = conn.written_ns if conn.written_ns != 0 else conn.first_byte_ns
        self.record_response(metrics, conn, done_ns)
        if breakdown != NULL:
            self.record_response(breakdown, conn, done_ns)
        if self.stamped:
            self.record_kernel_latency(conn, metrics)
        hdr_record(&metrics.histograms[METRIC_REQUEST_WRITE], written_ns - conn.ready_ns)
        hdr_record(&metrics.histograms[METRIC_WAIT], conn.first_byte_ns - written_ns)
        hdr_record(&metrics.histograms[METRIC_READ], done_ns - conn.first_byte_ns)
        self.in_flight -= 1
        if conn.key.warm:
            return
        self.answered += 1
        self.recorder.active.addresses[conn.address].responses += 1
        if self.recorder.trace_capacity > 0:
            self.trace_request(conn, written_ns, done_ns)

    cdef inline void record_response(self, Metrics *metrics, const Conn *conn, int64_t done_ns) noexcept nogil:
        metrics.outcomes.responses[conn.parser.status] += 1
        metrics.counters.body_bytes += conn.parser.body_bytes
        if self.decodes:
            metrics.counters.decoded_bytes += conn.parser.decoding.decoded_bytes
        hdr_record(&metrics.histograms[METRIC_LATENCY], done_ns - conn.intended_ns)
        if self.scheduled:
            hdr_record(&metrics.histograms[METRIC_SERVICE_TIME], done_ns - conn.sent_ns)

    cdef void record_kernel_latency(self, const Conn *conn, Metrics *metrics) noexcept nogil:
        cdef int64_t latency_ns = self.io.top.kernel_latency_ns(conn.slot)
        if latency_ns >= 0:
            hdr_record(&metrics.histograms[METRIC_KERNEL_LATENCY], latency_ns)

    cdef inline void record_lag(self, const Conn *conn) noexcept nogil:
        """Record how late a scheduled request was sent."""
        hdr_record(&self.metrics(conn.key).histograms[METRIC_LAG], conn.sent_ns - conn.intended_ns)

    cdef inline void record_generator_lag(self, const Conn *conn, int64_t possible_ns) noexcept nogil:
        """Record how much later than possible a request was sent."""
        hdr_record(&self.metrics(conn.key).histograms[METRIC_GENERATOR_LAG], conn.sent_ns - possible_ns)

    cdef inline void record_lags(self, const Conn *conn, int64_t possible_ns) noexcept nogil:
        """Record how late a scheduled request was sent, and how much of that the generator caused."""
        cdef Metrics *metrics = self.metrics(conn.key)
        hdr_record(&metrics.histograms[METRIC_LAG], conn.sent_ns - conn.intended_ns)
        hdr_record(&metrics.histograms[METRIC_GENERATOR_LAG], conn.sent_ns - possible_ns)

    cdef void trace_request(self, const Conn *conn, int64_t written_ns, int64_t done_ns) noexcept nogil:
        cdef TraceRow row
        row.offset_ns = conn.intended_ns - self.start_ns
        row.latency_ns = done_ns - conn.intended_ns
        row.connect_ns = conn.connect_ns
        row.lookup_ns = 0
        row.write_ns = written_ns - conn.ready_ns
        row.wait_ns = conn.first_byte_ns - written_ns
        row.read_ns = done_ns - conn.first_byte_ns
        row.status = conn.parser.status
        row.reserved = 0
        recorder_trace(&self.recorder, &row)

    # Connections. They are no request's, and are counted in the warm-up as well.

    cdef void count_connected(self, const IoEvent *event, const Conn *conn) noexcept nogil:
        """Count a connection that was opened, and its TLS handshake if it had one."""
        cdef Metrics *metrics = &self.recorder.active.all
        self.recorder.active.addresses[conn.address].connections += 1
        hdr_record(&metrics.histograms[METRIC_CONNECT], conn.connect_ns)
        metrics.counters.connections_opened += 1
        if event.handshake_ns == 0:
            return
        hdr_record(&metrics.histograms[METRIC_HANDSHAKE], event.handshake_ns)
        if event.resumed:
            metrics.counters.handshakes_resumed += 1
        else:
            metrics.counters.handshakes_full += 1

    cdef inline void count_connect_failed(self, const Conn *conn) noexcept nogil:
        self.recorder.active.addresses[conn.address].failures += 1

    cdef inline Counters *counters(self) noexcept nogil:
        """The counters for what belongs to a connection without a request."""
        return &self.recorder.active.all.counters

    # Python.

    cdef EngineSnapshot take(self, Buffer *buffer, list address_names):
        """Copy one of the recorder's buffers, and empty it."""
        cdef uint32_t breakdowns = self.recorder.breakdown_count
        cdef EngineSnapshot snapshot = snapshot_of_buffer(buffer, breakdowns, self.request_count, address_names)
        buffer_reset(buffer, breakdowns)
        return snapshot

    cdef bytes trace_rows(self):
        cdef const char *rows = <const char *> self.recorder.trace
        length = self.recorder.trace_length * sizeof(TraceRow)
        return rows[:length] if length else b""
