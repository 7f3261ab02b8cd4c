# The loop of one worker: pacer -> connections -> io -> parser -> recorder, without the GIL from prepare to the last answer.
# Python only starts it, stops it and swaps its banks.

from heyfleet.ext.c_atomic cimport load_flag, load_instant, store_flag, store_instant

cdef enum:
    # Connects outstanding while a worker prepares: below the listen backlog of common servers, so that none is dropped.
    OPENING_AT_ONCE = 100
    # How precisely a worker that waits for its start looks for the order to start.
    START_POLL_NS = 500000

cdef enum StopReason:
    STOP_NONE
    STOP_COUNT
    STOP_DURATION
    STOP_SIGNAL
    STOP_FAULT

STOP_NAMES = ("", "count", "duration", "signal", "fault")


cdef class EngineCore(Loops):

    cdef:
        int64_t duration_ns         # of the measured part; 0: no limit
        int64_t warmup_ns
        int64_t ended_ns
        uint64_t loop_turns
        int64_t cpu_ns              # of the worker's thread while it made load
        int64_t wall_ns
        StopReason stop_reason
        # Flags between threads: see c_atomic.pxd. `start_order_ns` is 0 until the start is ordered.
        int prepared
        int finished
        int stop_requested
        int swap_requested
        int64_t start_order_ns
        int64_t began_ns            # when the load really began; 0 before

    cdef int work(self) noexcept nogil:
        """Prepare, wait for the start, make load. 0 or a negative errno of a backend that failed."""
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
        self.abandon_all()
        return result

    cdef int prepare(self) noexcept nogil:
        """Open the connections ahead of the start, where they will be kept."""
        cdef uint32_t next_index = 0
        cdef uint32_t ahead = self.open_ahead()
        cdef int result = 0
        cdef int64_t now_ns = self.io.now()
        while result == 0 and not load_flag(&self.stop_requested):
            while next_index < ahead and self.opening < OPENING_AT_ONCE:
                self.open_connection(next_index, now_ns)
                next_index += 1
            if self.opening == 0:
                break
            result = self.io.wait(self.next_deadline())
            self.handle_events()
            now_ns = self.io.now()
            self.expire(now_ns)
        return result

    cdef int await_start(self) noexcept nogil:
        cdef int64_t start_ns, now_ns
        cdef int result = 0
        while result == 0 and not load_flag(&self.stop_requested):
            start_ns = load_instant(&self.start_order_ns)
            now_ns = self.io.now()
            if start_ns != 0 and now_ns >= start_ns:
                break
            result = self.io.wait(start_ns if start_ns != 0 else now_ns + START_POLL_NS)
            self.handle_events()
        return result

    cdef int make_load(self) noexcept nogil:
        cdef int64_t turn_ns = self.io.now()
        cdef int64_t now_ns = turn_ns
        cdef int64_t wake_ns
        cdef int result = 0
        store_instant(&self.began_ns, turn_ns)
        self.start_ns = load_instant(&self.start_order_ns)
        if turn_ns - self.start_ns > MAX_WAIT_NS:
            # An order for an instant long past is an order to start now.
            self.start_ns = turn_ns
        self.last_event_ns = turn_ns
        self.warm_until_ns = self.start_ns + self.warmup_ns
        self.stop_ns = self.warm_until_ns + self.duration_ns if self.duration_ns > 0 else NEVER_NS
        self.begin_loops()
        while True:
            self.handle_events()
            now_ns = self.io.now()
            self.expire(now_ns)
            self.release(now_ns)
            hdr_record(&self.side_now(now_ns).metrics[METRIC_LOOP_TURN], now_ns - turn_ns)
            self.loop_turns += 1
            if load_flag(&self.addresses_pending):
                self.take_addresses()
            if load_flag(&self.swap_requested):
                recorder_swap(&self.recorder)
                store_flag(&self.swap_requested, False)
            if result < 0 or self.must_stop(now_ns):
                break
            wake_ns = min(self.next_deadline(), now_ns + MAX_WAIT_NS)
            result = self.io.wait(wake_ns)
            turn_ns = self.io.now()
            if turn_ns >= wake_ns > now_ns:
                hdr_record(&self.side_now(turn_ns).metrics[METRIC_WAKE_LATE], turn_ns - wake_ns)
        self.ended_ns = self.last_event_ns if self.stop_reason == STOP_COUNT else now_ns
        self.wall_ns = now_ns - self.start_ns
        return result

    cdef inline Bank *side_now(self, int64_t now_ns) noexcept nogil:
        """Where what belongs to no request is counted now."""
        return &self.recorder.active.warmup if now_ns < self.warm_until_ns else &self.recorder.active.all

    cdef inline int64_t next_deadline(self) noexcept nogil:
        cdef int64_t deadline_ns = NEVER_NS
        cdef int64_t expires_ns
        if self.start_ns != 0:
            deadline_ns = min(self.stop_ns, self.next_release_ns())
        if self.expected.oldest != NO_CONN:
            expires_ns = self.conns[self.expected.oldest].waiting_since_ns + self.timeout_ns
            deadline_ns = min(deadline_ns, expires_ns)
        if self.continuing.oldest != NO_CONN:
            expires_ns = self.conns[self.continuing.oldest].held_since_ns + CONTINUE_WAIT_NS
            deadline_ns = min(deadline_ns, expires_ns)
        return deadline_ns

    cdef inline bint must_stop(self, int64_t now_ns) noexcept nogil:
        if load_flag(&self.stop_requested):
            self.stop_reason = STOP_SIGNAL
        elif self.request_limit > 0 and self.begun + self.dropped >= self.request_limit and self.in_flight == 0:
            self.stop_reason = STOP_COUNT
        elif now_ns >= self.stop_ns:
            self.stop_reason = STOP_DURATION
        return self.stop_reason != STOP_NONE

    cdef uint64_t planned(self) noexcept nogil:
        """Requests that the plan wanted until the end: the count if there is one, else what the schedule asked for."""
        if self.request_limit > 0:
            return self.request_limit
        return self.ticks_due if self.scheduled else self.begun
