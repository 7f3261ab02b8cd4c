# One worker: it owns the parts of the engine and runs the loop over them, without the GIL from prepare to the last response.
# Python only starts it, stops it and swaps its buffers.

cdef enum:
    # Outstanding connects while a worker prepares: below the listen backlog of common servers, so that none is dropped.
    OPENING_AT_ONCE = 100
    # How often a prepared worker looks for the order to start.
    START_POLL_NS = 500000

cdef enum StopReason:
    STOP_NONE
    STOP_COUNT
    STOP_DURATION
    STOP_SIGNAL
    STOP_FAULT
    STOP_LIMIT

STOP_NAMES = ("", "count", "duration", "signal", "fault", "limit")


@final
cdef class Worker:

    cdef:
        IoStack io
        Origins origins
        ConnectionPool pool
        RequestTable requests
        Accounting accounting
        Lifecycle lifecycle
        Generator generator
        LoadProfile profile
        uint64_t request_limit      # 0: none; the warm-up does not count
        int64_t duration_ns         # of the measured part; 0: no limit
        int64_t warmup_ns
        bint is_limited             # the lifecycle's
        int64_t run_ns_at_most      # the owner's limit on the whole load; 0: none
        int64_t start_ns            # 0: the load has not started
        int64_t stop_ns
        StopReason stop_reason_then # why the load ends at `stop_ns`
        int64_t ended_ns
        uint64_t loop_turns
        int64_t cpu_ns              # of the worker's thread while it made load
        int64_t wall_ns
        StopReason stop_reason
        # Shared between threads: see c_atomic.pxd. `start_order_ns` is 0 until the start is ordered.
        int prepared
        int finished
        int stop_requested
        int swap_requested
        int64_t start_order_ns
        int64_t began_ns            # when the load really began; 0 before

    def __cinit__(self, target, requests, connections, load, recording, io):
        """Build the parts from the configurations, which Engine has checked. Raises ValueError and MemoryError."""
        self.profile.stages = NULL
        profile_init(&self.profile, load.stages)
        self.request_limit = load.request_count
        self.duration_ns = load.duration_ns
        self.warmup_ns = load.warmup_ns
        self.run_ns_at_most = load.run_ns_at_most
        self.io = IoStack(io, recording.kernel_timestamps, target, connections.streams)
        self.origins = Origins()
        self.origins.add(target.addresses, target.tls, target.tunnel)
        self.requests = RequestTable(requests, target.http2, load.seed)
        # Over HTTP/2, redirects are followed only within the origin.
        two_slots = target.follower is not None and not target.http2
        self.pool = ConnectionPool(connections, two_slots, self.origins, self.io)
        self.pool.set_sources(target.sources, target.addresses)
        if requests.decode:
            self.pool.add_decoders()
            self.io.set_decodings(self.pool.decodings)
        self.accounting = self.make_accounting(load.model, recording)
        redirects = RedirectCache(target.follower, target.http2, self.origins, self.io)
        self.lifecycle = Lifecycle(
            self.pool, self.requests, redirects, self.accounting, connections.keep_alive, load.sends_per_s_at_most
        )
        self.is_limited = self.lifecycle.is_limited
        self.generator = self.make_generator(load, connections)

    cdef Accounting make_accounting(self, str model, recording):
        cdef Accounting accounting = Accounting()
        cdef uint32_t breakdowns = max(self.profile.count, 1) * self.requests.count
        accounting.profile = &self.profile
        accounting.request_count = self.requests.count
        accounting.scheduled = model in ("connection_rate", "rate")
        accounting.decodes = self.pool.decodings != NULL
        accounting.stamped = recording.kernel_timestamps
        accounting.io = self.io
        if recorder_init(&accounting.recorder, breakdowns if breakdowns > 1 else 0, recording.trace_rows) < 0:
            raise MemoryError
        return accounting

    cdef Generator make_generator(self, load, connections):
        cdef Generator generator
        cdef Schedule schedule
        cdef PlanShare share = PlanShare(
            connections.plan_connections or connections.connections, connections.first, connections.stride, connections.connections
        )
        memset(&schedule, 0, sizeof(schedule))
        schedule.limit = self.request_limit
        schedule.next = pacer_new(&self.profile, share, load.poisson, load.seed)
        if load.model == "closed":
            generator = ClosedGenerator()
        elif load.model == "connection_rate":
            generator = ConnectionRateGenerator()
        elif load.model == "rate":
            generator = RateGenerator()
        else:
            generator = UsersGenerator()
        generator.init(self.lifecycle, share, self.request_limit)
        if load.model == "connection_rate":
            (<ConnectionRateGenerator> generator).set_schedule(schedule)
        elif load.model == "rate":
            (<RateGenerator> generator).set_schedule(schedule, load.catch_up)
        elif load.model == "users":
            (<UsersGenerator> generator).set_users(&self.profile, load.think, load.seed)
        return generator

    def __dealloc__(self):
        if self.io is not None:
            self.io.top.shut()
        free(self.profile.stages)

    cdef int work(self) noexcept nogil:
        """Prepare, wait for the start, make load. 0 or the negative errno of a backend that failed."""
        cdef int result = self.prepare()
        cdef int64_t cpu_ns
        store_flag(&self.prepared, True)
        if result == 0:
            result = self.await_start()
        if result == 0:
            cpu_ns = thread_cpu_ns()
            result = self.make_load()
            self.cpu_ns = thread_cpu_ns() - cpu_ns
        if result < 0:
            self.stop_reason = STOP_FAULT
        self.lifecycle.abandon_all()
        self.io.top.shut()
        return result

    cdef int prepare(self) noexcept nogil:
        """Open connections ahead of the start, where they will be kept open."""
        cdef uint32_t next_index = 0
        cdef uint32_t ahead = self.generator.connections_ahead() if self.lifecycle.keep_alive else 0
        cdef int result = 0
        cdef int64_t now_ns = self.io.top.now()
        while result == 0 and not load_flag(&self.stop_requested):
            while next_index < ahead and self.pool.opening < OPENING_AT_ONCE:
                self.pool.open(next_index, now_ns)
                next_index += 1
            if self.pool.opening == 0:
                break
            result = self.io.top.wait(self.next_deadline())
            self.handle_events()
            now_ns = self.io.top.now()
            self.expire(now_ns)
        return result

    cdef int await_start(self) noexcept nogil:
        cdef int64_t start_ns, now_ns
        cdef int result = 0
        while result == 0 and not load_flag(&self.stop_requested):
            start_ns = load_instant(&self.start_order_ns)
            now_ns = self.io.top.now()
            if start_ns != 0 and now_ns >= start_ns:
                break
            result = self.io.top.wait(start_ns if start_ns != 0 else now_ns + START_POLL_NS)
            self.handle_events()
        return result

    cdef int make_load(self) noexcept nogil:
        cdef int64_t turn_ns = self.io.top.now()
        cdef int64_t now_ns, wake_ns
        cdef int result = 0
        self.begin(turn_ns)
        while True:
            self.handle_events()
            now_ns = self.io.top.now()
            self.expire(now_ns)
            # A stop may have come before the start, and its load then sends nothing.
            if self.generator.due_ns <= now_ns and not load_flag(&self.stop_requested):
                self.generator.release(now_ns)
            hdr_record(&self.accounting.metrics_at(now_ns).histograms[METRIC_LOOP_TURN], now_ns - turn_ns)
            self.loop_turns += 1
            if self.origins.update_is_pending():
                self.origins.take_target()
            if load_flag(&self.swap_requested):
                recorder_swap(&self.accounting.recorder)
                store_flag(&self.swap_requested, False)
            if result < 0 or self.must_stop(now_ns):
                break
            wake_ns = min(self.next_deadline(), now_ns + MAX_WAIT_NS)
            result = self.io.top.wait(wake_ns)
            turn_ns = self.io.top.now()
            if turn_ns >= wake_ns > now_ns:
                hdr_record(&self.accounting.metrics_at(turn_ns).histograms[METRIC_WAKE_LATE], turn_ns - wake_ns)
        self.ended_ns = self.lifecycle.last_event_ns if self.stop_reason == STOP_COUNT else now_ns
        self.wall_ns = max(now_ns - self.start_ns, 0)  # a stop may come before the instant of the start
        return result

    cdef void begin(self, int64_t now_ns) noexcept nogil:
        """Start the load, as ordered."""
        cdef int64_t warm_until_ns
        store_instant(&self.began_ns, now_ns)
        self.start_ns = load_instant(&self.start_order_ns)
        if now_ns - self.start_ns > MAX_WAIT_NS:
            # An order for an instant long past is an order to start now.
            self.start_ns = now_ns
        warm_until_ns = self.start_ns + self.warmup_ns
        self.stop_ns = warm_until_ns + self.duration_ns if self.duration_ns > 0 else NEVER_NS
        self.stop_reason_then = STOP_DURATION
        if 0 < self.run_ns_at_most < self.stop_ns - self.start_ns:
            self.stop_ns = self.start_ns + self.run_ns_at_most
            self.stop_reason_then = STOP_LIMIT
        self.lifecycle.last_event_ns = now_ns
        self.accounting.start_ns, self.accounting.warm_until_ns = self.start_ns, warm_until_ns
        if self.warmup_ns == 0 and now_ns < self.start_ns:
            # The load is stopped before its instant. What is measured until its end is no warm-up.
            self.accounting.warm_until_ns = now_ns
        self.generator.start(self.start_ns, warm_until_ns, self.stop_ns)

    cdef inline void handle_events(self) noexcept nogil:
        cdef IoEvent event
        cdef ConnEvent conn_event
        event.handshake_ns = 0
        event.resumed = event.joined = False
        if self.lifecycle.unread.bytes > 0 and not self.read_on():
            return
        while self.io.top.next(&event):
            conn_event = self.lifecycle.handle(&event)
            if conn_event != CONN_EVENT_NONE:
                self.report(conn_event, event.slot)

    cdef bint read_on(self) noexcept nogil:
        """Go on with content that was more work than a turn may do; return whether it is read."""
        cdef uint32_t index = self.lifecycle.unread.index
        cdef ConnEvent conn_event = self.lifecycle.read_on()
        if conn_event != CONN_EVENT_NONE:
            self.report(conn_event, index)
        return self.lifecycle.unread.bytes == 0

    cdef inline void report(self, ConnEvent event, uint32_t index) noexcept nogil:
        """Tell the generator what became of a connection."""
        cdef int64_t now_ns = self.lifecycle.last_event_ns
        if event == CONN_EVENT_FREE:
            self.generator.on_free(index, now_ns)
        elif event == CONN_EVENT_OPENED:
            self.generator.on_opened(index, now_ns)
        elif event == CONN_EVENT_NOT_OPENED:
            self.generator.on_not_opened(index, self.lifecycle.open_error, now_ns)

    cdef inline void expire(self, int64_t now_ns) noexcept nogil:
        """End what has waited longer than its timeout, and send what has waited long enough."""
        cdef uint32_t index
        while self.pool.next_timeout_ns() <= now_ns:
            index = self.pool.expected.oldest
            self.report(self.lifecycle.expire(index), index)
        if self.lifecycle.expect.next_release_ns() <= now_ns:
            self.lifecycle.expect.release_due(now_ns)
        if self.is_limited and self.lifecycle.limit.next_release_ns() <= now_ns:
            self.lifecycle.release_limited(now_ns)

    cdef inline int64_t next_deadline(self) noexcept nogil:
        if self.lifecycle.unread.bytes > 0:
            return 0
        cdef int64_t deadline_ns = min(self.pool.next_timeout_ns(), self.lifecycle.expect.next_release_ns())
        if self.is_limited:
            deadline_ns = min(deadline_ns, self.lifecycle.limit.next_release_ns())
        if self.start_ns != 0:
            deadline_ns = min(deadline_ns, min(self.stop_ns, self.generator.due_ns))
        return deadline_ns

    cdef inline bint must_stop(self, int64_t now_ns) noexcept nogil:
        if load_flag(&self.stop_requested):
            self.stop_reason = STOP_SIGNAL
        elif (self.request_limit > 0 and self.accounting.in_flight == 0
              and self.accounting.begun + self.accounting.dropped >= self.request_limit):
            self.stop_reason = STOP_COUNT
        elif now_ns >= self.stop_ns:
            self.stop_reason = self.stop_reason_then
        return self.stop_reason != STOP_NONE
