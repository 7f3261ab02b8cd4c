# What Python sees of the engine.


@final
cdef class EngineSnapshot:
    """All that one worker measured since its last snapshot. Histograms by metric, in nanoseconds; the rest are counts."""

    cdef readonly dict histograms
    cdef readonly dict responses
    cdef readonly dict errors
    cdef readonly uint64_t sent
    cdef readonly uint64_t abandoned
    cdef readonly uint64_t connections_opened
    cdef readonly uint64_t unasked
    cdef readonly uint64_t bytes_sent
    cdef readonly uint64_t bytes_received
    cdef readonly uint64_t body_bytes


cdef EngineSnapshot make_snapshot(const Bank *bank):
    cdef EngineSnapshot snapshot = EngineSnapshot.__new__(EngineSnapshot)
    snapshot.histograms = {
        name: Histogram.from_hdr(&bank.metrics[metric])
        for metric, name in enumerate(METRIC_NAMES) if bank.metrics[metric].count > 0
    }
    snapshot.responses = {status: bank.tally.responses[status] for status in range(STATUS_CODES) if bank.tally.responses[status]}
    snapshot.errors = {
        name: bank.tally.errors[kind]
        for kind, name in enumerate(ERROR_NAMES) if kind != ERROR_BAD_RESPONSE and bank.tally.errors[kind]
    }
    for reason, name in enumerate(HTTP1_REASON_NAMES):
        if bank.tally.bad_responses[reason]:
            snapshot.errors[f"{ERROR_NAMES[ERROR_BAD_RESPONSE]}: {name}"] = bank.tally.bad_responses[reason]
    snapshot.sent = bank.tally.sent
    snapshot.abandoned = bank.tally.abandoned
    snapshot.connections_opened = bank.tally.connections_opened
    snapshot.unasked = bank.tally.unasked
    snapshot.bytes_sent = bank.tally.bytes_sent
    snapshot.bytes_received = bank.tally.bytes_received
    snapshot.body_bytes = bank.tally.body_bytes
    return snapshot


@final
cdef class Engine(EngineCore):
    """One worker's load: create it, call `run` in a thread of its own, steer it from another.

    `io` is "auto", "io_uring", "epoll" or an Io object. `addresses` are (literal address, port) pairs, used in turn by the
    connections. `request` is one rendered request, sent over and over; `head` says that its answers have no body. `requests`
    and `duration_ns` end the load, 0 is no limit; `timeout_ns` ends a request, 0 is never. `rate_per_connection` is in
    requests a second, 0 is a closed loop. `sources` are local addresses that the plan's connections come from in
    turn. A plan's connections may be dealt out to several engines: this one has `connections` of its `plan_connections`, those numbered first_connection, first_connection + connection_stride, ...

    Raises ValueError for arguments that make no sense and MemoryError.
    """

    cdef bytes request_object
    cdef str io_choice
    cdef readonly str io_name
    cdef readonly str io_note

    def __cinit__(self):
        self.waiting.oldest = self.waiting.newest = NO_CONN
        memset(&self.recorder, 0, sizeof(self.recorder))
        self.conns = NULL
        self.addresses = NULL
        self.address_lengths = NULL
        self.sources = NULL

    def __init__(self, *, io, list addresses not None, bytes request not None, uint32_t connections, bint head=False,
                 uint64_t requests=0, int64_t duration_ns=0, int64_t timeout_ns=0, bint keep_alive=True,
                 double rate_per_connection=0.0, uint32_t plan_connections=0, uint32_t first_connection=0,
                 uint32_t connection_stride=1, uint64_t trace_rows=0, list sources=None):
        if connections == 0 or not addresses or not request:
            raise ValueError("an engine needs at least one connection, one address and a request")
        if duration_ns < 0 or timeout_ns < 0 or not 0 <= rate_per_connection <= 1e9:
            raise ValueError("durations can't be negative, a rate must be between 0 and 1e9 requests a second")
        if requests == 0 and duration_ns == 0:
            raise ValueError("an engine needs a number of requests or a duration")
        self.choose_io(io)
        self.request_object = request
        self.request = request
        self.request_bytes = len(request)
        self.head = head
        self.keep_alive = keep_alive
        self.request_limit = requests
        self.duration_ns = duration_ns
        self.timeout_ns = timeout_ns
        self.connection_count = connections
        self.pacer = make_pacer(rate_per_connection, plan_connections or connections, first_connection,
                                connection_stride)
        self.first_source = first_connection
        self.source_stride = connection_stride
        self.take_memory(addresses, sources or [], trace_rows)

    cdef choose_io(self, io):
        self.io_choice = io if isinstance(io, str) else "given"
        if isinstance(io, Io):
            self.io = io
        elif io == "epoll":
            self.io = EpollIo()
        elif io in ("auto", "io_uring"):
            self.io = UringIo()
        else:
            raise ValueError(f"io must be auto, io_uring or epoll, not {io!r}")
        self.io_name = IO_NAMES.get(type(self.io), "given")
        self.io_note = ""

    cdef take_memory(self, list addresses, list sources, uint64_t trace_rows):
        cdef uint32_t index
        self.conns = <Conn *> calloc(self.connection_count, sizeof(Conn))
        self.address_count = len(addresses)
        self.addresses = <sockaddr_storage *> calloc(self.address_count, sizeof(sockaddr_storage))
        self.address_lengths = <socklen_t *> calloc(self.address_count, sizeof(socklen_t))
        self.source_count = len(sources)
        self.sources = <sockaddr_storage *> calloc(max(self.source_count, 1), sizeof(sockaddr_storage))
        if self.conns == NULL or self.addresses == NULL or self.address_lengths == NULL or self.sources == NULL:
            raise MemoryError
        if recorder_init(&self.recorder, trace_rows) < 0:
            raise MemoryError
        for index in range(self.connection_count):
            self.conns[index].next_tick = index
        for index, (host, port) in enumerate(addresses):
            self.address_lengths[index] = fill_address(host, port, &self.addresses[index])
        for index, source in enumerate(sources):
            fill_address(source, 0, &self.sources[index])
            if any((":" in host) != (":" in source) for host, _ in addresses):
                raise ValueError(f"the source {source} is not of the family of every address")

    def __dealloc__(self):
        if self.io is not None:
            self.io.shut()
        recorder_free(&self.recorder)
        free(self.conns)
        free(self.addresses)
        free(self.address_lengths)
        free(self.sources)

    def run(self):
        """Prepare, wait for `start`, make load, and return when it has ended. Call once, in the worker's own thread.

        Raises OSError when the io backend can't be opened or fails; what was measured until then can still be read.
        """
        cdef int result
        try:
            self.open_io()
            with nogil:
                result = self.work()
                self.io.shut()
        finally:
            store_flag(&self.prepared, True)
            store_flag(&self.finished, True)
        if result < 0:
            raise OSError(-result, f"{self.io_name} failed: {strerror(-result).decode()}")

    cdef open_io(self):
        cdef int result = self.io.open(self.connection_count)
        if result < 0 and self.io_choice == "auto":
            self.io.shut()
            self.io_note = f"io_uring is not available here: {strerror(-result).decode()}"
            self.io = EpollIo()
            self.io_name = IO_NAMES[EpollIo]
            result = self.io.open(self.connection_count)
        if result < 0:
            raise OSError(-result, f"{self.io_name} is not available here: {strerror(-result).decode()}")

    def start(self, int64_t at_ns):
        """Let the load begin at this instant of CLOCK_MONOTONIC (or at once, if it has passed)."""
        store_instant(&self.start_order_ns, max(at_ns, 1))

    def stop(self):
        """End the load at once; requests in flight are abandoned. Safe from any thread and from signal handlers."""
        store_flag(&self.stop_requested, True)

    def snapshot(self):
        """Take what was measured since the last snapshot, without stopping the loop. From one thread only."""
        cdef EngineSnapshot snapshot
        if not load_flag(&self.finished) and load_instant(&self.start_order_ns) != 0:
            store_flag(&self.swap_requested, True)
            while load_flag(&self.swap_requested) and not load_flag(&self.finished):
                sleep(0.0005)
        if load_flag(&self.finished):
            store_flag(&self.swap_requested, False)
            return self.final_snapshot()
        snapshot = make_snapshot(self.recorder.inactive)
        bank_reset(self.recorder.inactive)
        return snapshot

    cdef final_snapshot(self):
        cdef EngineSnapshot snapshot
        # A swap that the loop still made, just before it ended, left measurements in the other bank as well.
        bank_add(self.recorder.active, self.recorder.inactive)
        bank_reset(self.recorder.inactive)
        snapshot = make_snapshot(self.recorder.active)
        bank_reset(self.recorder.active)
        return snapshot

    @property
    def prepared(self):
        """Whether the connections are open (or failed to) and the worker waits for its start."""
        return bool(load_flag(&self.prepared))

    @property
    def finished(self):
        return bool(load_flag(&self.finished))

    @property
    def connections(self):
        """How many connections the worker holds at most."""
        return self.connection_count

    @property
    def connections_open(self):
        """Connections that are open now; exact once `prepared`, and before the start."""
        return sum(self.conns[index].state == CONN_IDLE for index in range(self.connection_count))

    @property
    def totals(self):
        """After the end: planned, sent, responses, errors, abandoned, unsent; elapsed_ns, cpu_ns, wall_ns, loop_turns."""
        return {
            "planned": self.planned(),
            "sent": self.begun,
            "responses": self.answered,
            "errors": self.failed,
            "abandoned": self.begun - self.answered - self.failed,
            "unsent": self.planned() - self.begun,
            "elapsed_ns": max(self.ended_ns - self.start_ns, 0),
            "cpu_ns": self.cpu_ns,
            "wall_ns": self.wall_ns,
            "loop_turns": self.loop_turns,
            "began_ns": load_instant(&self.began_ns),
        }

    @property
    def stopped_by(self):
        """What ended the load: "count", "duration", "signal" or "fault"; "" before the end."""
        return STOP_NAMES[self.stop_reason]

    def trace(self):
        """The per-request rows that were kept, packed as struct TraceRow ("<7q2i"), and how many found no room."""
        cdef const char *rows = <const char *> self.recorder.trace
        length = self.recorder.trace_length * sizeof(TraceRow)
        return (rows[:length] if length else b""), self.recorder.trace_dropped
