# A rate for all connections (an open loop): a request that is due goes out on any free connection. If none is free it waits, and
# its wait counts into its latency.

cdef enum:
    # Outstanding connects while a rate is kept: opening costs more than sending, and must not take its place.
    OPENING_BESIDE_LOAD = 128
    # Before the start, as many connections are opened as responses that take this long would need.
    OPEN_AHEAD_NS = 20000000
    # A request is dropped if it could have gone out, but the generator itself was this late: a burst that nobody asked for would
    # meet the server.
    DROPPED_AFTER_NS = 100000000


@final
cdef class RateGenerator(Generator):

    cdef:
        Schedule schedule
        Pacer waiting               # at the first request that is not begun; ahead of it, requests wait for a connection
        bint catch_up               # nothing is dropped
        uint32_t *open_free         # ring of open connections without a request
        uint32_t open_free_first
        uint32_t open_free_count
        uint32_t *closed_free       # stack of closed connections without a request
        uint32_t closed_free_count

    def __dealloc__(self):
        free(self.open_free)
        free(self.closed_free)

    cdef set_schedule(self, Schedule schedule, bint catch_up):
        """Raises MemoryError."""
        self.schedule = schedule
        self.waiting = schedule.next
        self.catch_up = catch_up
        self.open_free = <uint32_t *> calloc(self.pool.count, sizeof(uint32_t))
        self.closed_free = <uint32_t *> calloc(self.pool.count, sizeof(uint32_t))
        if self.open_free == NULL or self.closed_free == NULL:
            raise MemoryError

    cdef uint32_t connections_ahead(self) noexcept nogil:
        cdef double rate = self.schedule.next.profile.stages[0].first
        rate = rate * (self.pool.count // self.pool.streams) / self.share.plan_connections
        return <uint32_t> min(<double> self.pool.count, rate * OPEN_AHEAD_NS / NS_PER_S + 1)

    cdef void start(self, int64_t start_ns, int64_t warm_until_ns, int64_t stop_ns) noexcept nogil:
        cdef uint32_t index
        self.schedule.start_ns, self.schedule.warm_until_ns, self.schedule.stop_ns = start_ns, warm_until_ns, stop_ns
        for index in range(self.pool.count):
            self.put_free(self.pool.count - 1 - index)

    cdef void release(self, int64_t now_ns) noexcept nogil:
        cdef uint32_t index
        while schedule_is_due(&self.schedule, now_ns):
            if self.some_wait() or not self.take_open(&index):
                schedule_advance(&self.schedule)
            elif now_ns - schedule_next_ns(&self.schedule) > DROPPED_AFTER_NS and not self.catch_up:
                self.put_free(index)
                self.drop_next()
            else:
                schedule_advance(&self.schedule)
                self.begin_waiting(index, 0)
        self.due_ns = schedule_next_ns(&self.schedule)
        self.open_more(now_ns)

    cdef void on_free(self, uint32_t index, int64_t now_ns) noexcept nogil:
        if self.pool.conns[index].state == CONN_IDLE and self.some_wait() and now_ns < self.schedule.stop_ns:
            self.begin_waiting(index, now_ns)
        else:
            self.put_free(index)
        self.open_more(now_ns)

    cdef void on_opened(self, uint32_t index, int64_t now_ns) noexcept nogil:
        if self.schedule.start_ns != 0:
            self.on_free(index, now_ns)

    cdef void on_not_opened(self, uint32_t index, int kind, int64_t now_ns) noexcept nogil:
        """Let a request that waits for a connection end in the error that opening one ended in."""
        if self.schedule.start_ns == 0:
            return
        if self.some_wait() and now_ns < self.schedule.stop_ns:
            self.assign_waiting(index, now_ns)
            self.lifecycle.fail(index, kind)
            self.on_free(index, self.lifecycle.last_event_ns)
        else:
            self.put_free(index)
            self.open_more(now_ns)

    cdef uint64_t planned(self) noexcept nogil:
        return self.request_limit if self.request_limit > 0 else self.schedule.due

    # Requests that are due.

    cdef inline bint some_wait(self) noexcept nogil:
        """Whether requests are due that have found no connection."""
        return self.waiting.index != self.schedule.next.index

    cdef inline void begin_waiting(self, uint32_t index, int64_t free_ns) noexcept nogil:
        """Begin the first request that waits, on a connection that became free at `free_ns`; 0: it was free before."""
        self.assign_waiting(index, free_ns)
        self.lifecycle.send_or_connect(index)

    cdef inline void assign_waiting(self, uint32_t index, int64_t free_ns) noexcept nogil:
        cdef int64_t intended_ns = self.schedule.start_ns + self.waiting.offset_ns
        cdef uint64_t number = share_number(&self.share, self.waiting.index)
        cdef Conn *conn = &self.pool.conns[index]
        pacer_advance(&self.waiting)
        self.lifecycle.assign(index, intended_ns, number)
        self.accounting.record_lags(conn, max(intended_ns, free_ns))

    cdef void drop_next(self) noexcept nogil:
        """Count the next request of the schedule as dropped, and go on to the one after it."""
        cdef uint64_t number = share_number(&self.share, self.schedule.next.index)
        cdef uint32_t request = self.lifecycle.requests.request_at(number)
        self.accounting.count_dropped(self.accounting.key_of(schedule_next_ns(&self.schedule), request))
        schedule_advance(&self.schedule)
        pacer_advance(&self.waiting)

    # Free connections.

    cdef inline void open_more(self, int64_t now_ns) noexcept nogil:
        """Open a connection for each request that waits, as far as there are any. The first to open takes the first request."""
        while (self.closed_free_count > 0 and self.pool.opening < OPENING_BESIDE_LOAD
               and self.schedule.next.index - self.waiting.index > self.pool.opening and now_ns < self.schedule.stop_ns):
            self.closed_free_count -= 1
            self.pool.open(self.closed_free[self.closed_free_count], now_ns)

    cdef inline void put_free(self, uint32_t index) noexcept nogil:
        if self.pool.conns[index].state == CONN_IDLE:
            self.open_free[(self.open_free_first + self.open_free_count) % self.pool.count] = index
            self.open_free_count += 1
        else:
            self.closed_free[self.closed_free_count] = index
            self.closed_free_count += 1

    cdef inline bint take_open(self, uint32_t *index) noexcept nogil:
        """Find an open connection without a request; False if there is none.

        It is the one used last, so that few connections are kept busy. If the target has several addresses it is the one that
        has waited longest, so that all addresses get their share.
        """
        while self.open_free_count > 0:
            self.open_free_count -= 1
            if self.pool.origins.table[0].count > 1:
                index[0] = self.open_free[self.open_free_first]
                self.open_free_first = (self.open_free_first + 1) % self.pool.count
            else:
                index[0] = self.open_free[(self.open_free_first + self.open_free_count) % self.pool.count]
            if self.pool.conns[index[0]].state == CONN_IDLE:
                return True
            # The server has closed it meanwhile.
            self.put_free(index[0])
        return False
