# What is sent next, and when: by connections that each have the next request at once (closed), or ticks of their own; by a rate
# for all (open); or by users, who come, think, and go.

cdef enum LoopKind:
    LOOP_CONNECTIONS
    LOOP_TICKS
    LOOP_RATE
    LOOP_USERS

cdef enum ThinkKind:
    THINK_NOT
    THINK_UNIFORM
    THINK_EXPONENTIAL

LOOP_NAMES = ("connections", "ticks", "rate", "users")
THINK_NAMES = ("", "uniform", "exponential")

cdef enum:
    # Closed loops or users started in one turn: answers to the first of many thousands should not wait until the last
    # has begun.
    STARTS_A_TURN = 256
    # Connects outstanding at a time while a rate is kept: opening costs more than sending, and must not take its place.
    OPENING_BESIDE_LOAD = 128
    # Before a rate begins, so many connections are opened as answers that take so long would need.
    OPEN_AHEAD_NS = 20000000
    # A request that could have gone out, and is so late because the generator itself did not run, is not sent any more:
    # a burst that nobody asked for would meet the server.
    MISSED_AFTER_NS = 100000000


cdef class Loops(Connections):

    cdef:
        LoopKind loop
        uint64_t request_limit      # 0: none; the warm-up is not counted
        int64_t stop_ns
        uint32_t loops_started      # of the closed loops
        Pacer pacer                 # at the first scheduled request whose instant has not come
        Pacer waiting               # at the first that is not begun: the same, where none waits for a connection
        uint64_t ticks_due          # scheduled requests whose instant has come, without the warm-up
        uint64_t dropped
        bint catch_up
        uint32_t *open_free         # a ring: connections without a request, open
        uint32_t open_free_first
        uint32_t open_free_count
        uint32_t *closed_free       # a stack of those that are closed
        uint32_t closed_free_count
        Timers timers               # of users: when they begin, or have thought
        ThinkKind think
        int64_t think_low_ns
        int64_t think_high_ns

    cdef void begin_loops(self) noexcept nogil:
        """The start of the load is known."""
        cdef uint32_t index
        if self.loop == LOOP_USERS:
            for index in range(self.connection_count):
                self.await_user(index, 0)
        elif self.loop == LOOP_RATE:
            for index in range(self.connection_count):
                self.put_free(self.connection_count - 1 - index)

    cdef uint32_t open_ahead(self) noexcept nogil:
        """How many connections to open before the start: those that will be used from the first instant on."""
        cdef double rate
        if not self.keep_alive or self.loop == LOOP_USERS:
            return 0
        if self.loop != LOOP_RATE:
            return self.connection_count
        rate = self.shape.stages[0].first * (self.connection_count // self.streams) / self.pacer.plan_connections
        return <uint32_t> min(<double> self.connection_count, rate * OPEN_AHEAD_NS / NS_PER_S + 1)

    cdef inline bint may_begin(self, int64_t now_ns) noexcept nogil:
        """Whether a closed loop may send one more."""
        return now_ns < self.stop_ns and (self.request_limit == 0 or self.begun < self.request_limit)

    cdef inline void begin_next(self, uint32_t index) noexcept nogil:
        """Begin the next request of a closed loop."""
        self.begin(index, 0, pacer_number(&self.pacer, self.begun + self.warm_begun))

    cdef void connection_free(self, uint32_t index, int64_t now_ns) noexcept nogil:
        cdef Conn *conn = &self.conns[index]
        if self.loop == LOOP_CONNECTIONS:
            if self.may_begin(now_ns):
                self.begin_next(index)
        elif self.loop == LOOP_TICKS:
            if conn.ticks_waiting > 0 and now_ns < self.stop_ns:
                self.begin_own_tick(index, conn)
        elif self.loop == LOOP_USERS:
            self.user_free(index, conn, now_ns)
        elif self.conns[index].state == CONN_IDLE and self.some_wait() and now_ns < self.stop_ns:
            self.begin_waiting(index, now_ns)
        else:
            self.put_free(index)
            self.open_more(now_ns)

    cdef inline void release(self, int64_t now_ns) noexcept nogil:
        """Begin what is due."""
        if self.loop == LOOP_CONNECTIONS:
            self.start_closed_loops()
        elif self.loop == LOOP_TICKS:
            self.release_own_ticks(now_ns)
        elif self.loop == LOOP_RATE:
            self.release_rate(now_ns)
        else:
            self.release_users(now_ns)

    cdef inline int64_t next_release_ns(self) noexcept nogil:
        """When something is due next; 0: now; NEVER_NS: nothing more."""
        if self.loop == LOOP_CONNECTIONS:
            return 0 if self.loops_started < self.connection_count else <int64_t> NEVER_NS
        if self.loop == LOOP_USERS:
            return timers_next_ns(&self.timers)
        return self.next_tick_ns()

    # Closed loops.

    cdef inline void start_closed_loops(self) noexcept nogil:
        cdef uint32_t left = STARTS_A_TURN
        while left > 0 and self.loops_started < self.connection_count:
            left -= 1
            self.loops_started += 1
            self.connection_free(self.loops_started - 1, self.start_ns)

    # Schedules.

    cdef inline int64_t next_tick_ns(self) noexcept nogil:
        if self.request_limit > 0 and self.ticks_due >= self.request_limit:
            return NEVER_NS
        return self.start_ns + self.pacer.offset_ns

    cdef inline bint tick_is_due(self, int64_t now_ns) noexcept nogil:
        cdef int64_t next_ns = self.next_tick_ns()
        return next_ns <= now_ns and next_ns < self.stop_ns

    cdef inline void take_tick(self) noexcept nogil:
        if self.start_ns + self.pacer.offset_ns >= self.warm_until_ns:
            self.ticks_due += 1
        pacer_next(&self.pacer)

    cdef inline void release_own_ticks(self, int64_t now_ns) noexcept nogil:
        cdef uint32_t index
        while self.tick_is_due(now_ns):
            index = self.pacer.tick % self.connection_count
            self.take_tick()
            self.conns[index].ticks_waiting += 1
            if not self.conns[index].has_request and now_ns < self.stop_ns:
                self.begin_own_tick(index, &self.conns[index])

    cdef inline void begin_own_tick(self, uint32_t index, Conn *conn) noexcept nogil:
        """Begin the connection's oldest scheduled request, late as it may be: no tick is lost."""
        cdef uint64_t tick = conn.next_tick
        cdef int64_t intended_ns = self.start_ns + pacer_offset_ns(&self.pacer, tick)
        conn.ticks_waiting -= 1
        conn.next_tick += self.connection_count
        self.begin(index, intended_ns, pacer_number(&self.pacer, tick))
        hdr_record(&self.bank(conn).metrics[METRIC_LAG], conn.sent_ns - intended_ns)

    cdef inline void release_rate(self, int64_t now_ns) noexcept nogil:
        cdef uint32_t index
        while self.tick_is_due(now_ns):
            if self.some_wait() or not self.take_open(&index):
                self.take_tick()
            elif now_ns - self.next_tick_ns() > MISSED_AFTER_NS and not self.catch_up:
                self.put_free(index)
                self.miss()
            else:
                self.take_tick()
                self.begin_waiting(index, 0)
        self.open_more(now_ns)

    cdef inline bint some_wait(self) noexcept nogil:
        """Whether requests are due that have found no connection."""
        return self.waiting.tick != self.pacer.tick

    cdef inline void open_more(self, int64_t now_ns) noexcept nogil:
        """Open a connection for each request that waits, as far as there are any; the first to be free takes the first."""
        while (self.closed_free_count > 0 and self.opening < OPENING_BESIDE_LOAD
               and self.pacer.tick - self.waiting.tick > self.opening and now_ns < self.stop_ns):
            self.closed_free_count -= 1
            self.open_connection(self.closed_free[self.closed_free_count], now_ns)

    cdef void connection_opened(self, uint32_t index, int64_t now_ns) noexcept nogil:
        if self.loop == LOOP_RATE and self.start_ns != 0:
            self.connection_free(index, now_ns)

    cdef void connection_not_opened(self, uint32_t index, int kind, int64_t now_ns) noexcept nogil:
        """A request that waits for a connection has the end that its opening has."""
        if self.loop != LOOP_RATE or self.start_ns == 0:
            return
        if self.some_wait() and now_ns < self.stop_ns:
            self.take_waiting(index, now_ns)
            self.fail(index, kind)
        else:
            self.put_free(index)

    cdef inline void begin_waiting(self, uint32_t index, int64_t free_ns) noexcept nogil:
        """Begin the oldest scheduled request on a connection that became free at `free_ns`; 0: it was free before."""
        self.take_waiting(index, free_ns)
        self.send_begun(index)

    cdef inline void take_waiting(self, uint32_t index, int64_t free_ns) noexcept nogil:
        cdef int64_t intended_ns = self.start_ns + self.waiting.offset_ns
        cdef uint64_t number = pacer_number(&self.waiting, self.waiting.tick)
        cdef Conn *conn = &self.conns[index]
        cdef Bank *bank
        pacer_next(&self.waiting)
        self.assign(index, intended_ns, number)
        bank = self.bank(conn)
        hdr_record(&bank.metrics[METRIC_LAG], conn.sent_ns - intended_ns)
        hdr_record(&bank.metrics[METRIC_OWN_LAG], conn.sent_ns - max(intended_ns, free_ns))

    cdef void miss(self) noexcept nogil:
        cdef Bank *part
        cdef Conn at
        memset(&at, 0, sizeof(at))
        at.intended_ns = self.next_tick_ns()
        at.request = self.order[pacer_number(&self.pacer, self.pacer.tick) % self.order_count]
        self.place(&at)
        part = self.part(&at)
        if part != NULL:
            part.tally.dropped += 1
        self.bank(&at).tally.dropped += 1
        if not at.warm:
            self.dropped += 1
        self.take_tick()
        pacer_next(&self.waiting)

    cdef inline void put_free(self, uint32_t index) noexcept nogil:
        if self.conns[index].state == CONN_IDLE:
            self.open_free[(self.open_free_first + self.open_free_count) % self.connection_count] = index
            self.open_free_count += 1
        else:
            self.closed_free[self.closed_free_count] = index
            self.closed_free_count += 1

    cdef inline bint take_open(self, uint32_t *index) noexcept nogil:
        """An open connection; False if there is none without a request.

        The one that was used last, so that few are kept busy; where the target has several addresses, the one that has
        waited longest, so that all of them have their part.
        """
        while self.open_free_count > 0:
            self.open_free_count -= 1
            if self.origins[0].count > 1:
                index[0] = self.open_free[self.open_free_first]
                self.open_free_first = (self.open_free_first + 1) % self.connection_count
            else:
                index[0] = self.open_free[(self.open_free_first + self.open_free_count) % self.connection_count]
            if self.conns[index[0]].state == CONN_IDLE:
                return True
            # The server has closed it meanwhile.
            self.put_free(index[0])
        return False

    # Users: connection i is the plan's user of the same number.

    cdef void await_user(self, uint32_t index, int64_t from_ns) noexcept nogil:
        """Wait until the user of a connection begins (again), `from_ns` after the start at the earliest."""
        cdef double user = <double> pacer_number(&self.pacer, index)
        cdef int64_t begins_ns = shape_rises_above(&self.shape, user, from_ns)
        if begins_ns >= NEVER_NS:
            return
        self.conns[index].ends_ns = self.start_ns + shape_falls_to(&self.shape, user, begins_ns)
        timers_add(&self.timers, index, self.start_ns + begins_ns)

    cdef inline void release_users(self, int64_t now_ns) noexcept nogil:
        cdef uint32_t left = STARTS_A_TURN
        cdef Timer timer
        cdef Conn *conn
        while left > 0 and timers_next_ns(&self.timers) <= now_ns and now_ns < self.stop_ns:
            left -= 1
            timer = timers_take(&self.timers)
            conn = &self.conns[timer.index]
            if self.may_begin(now_ns):
                self.begin_next(timer.index)
                hdr_record(&self.bank(conn).metrics[METRIC_OWN_LAG], conn.sent_ns - timer.due_ns)

    cdef inline void user_free(self, uint32_t index, Conn *conn, int64_t now_ns) noexcept nogil:
        cdef int64_t next_ns = now_ns + self.think_ns(conn)
        if next_ns >= conn.ends_ns:
            self.await_user(index, max(conn.ends_ns, now_ns) - self.start_ns)
        elif next_ns > now_ns:
            timers_add(&self.timers, index, next_ns)
        elif self.may_begin(now_ns):
            self.begin_next(index)

    cdef inline int64_t think_ns(self, Conn *conn) noexcept nogil:
        cdef double span_ns = <double> (self.think_high_ns - self.think_low_ns)
        if self.think == THINK_UNIFORM:
            return self.think_low_ns + <int64_t> (chance_unit(&conn.random) * span_ns)
        if self.think == THINK_EXPONENTIAL:
            return <int64_t> (chance_exponential(&conn.random) * self.think_low_ns)
        return 0
