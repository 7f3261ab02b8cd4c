# A rate for each connection: the plan's schedule is dealt out to the connections in turn, and each of them sends its requests in
# order, late if it has to, so that none is lost.

# What one connection has still to send.
cdef struct ConnectionSchedule:
    uint64_t waiting            # requests that are due and not begun
    uint64_t next_index         # of the first of them, among the worker's requests


@final
cdef class ConnectionRateGenerator(Generator):

    cdef:
        Schedule schedule
        ConnectionSchedule *connections

    def __dealloc__(self):
        free(self.connections)

    cdef set_schedule(self, Schedule schedule):
        """Raises MemoryError."""
        cdef uint32_t index
        self.schedule = schedule
        self.connections = <ConnectionSchedule *> calloc(self.pool.count, sizeof(ConnectionSchedule))
        if self.connections == NULL:
            raise MemoryError
        for index in range(self.pool.count):
            self.connections[index].next_index = index

    cdef void start(self, int64_t start_ns, int64_t warm_until_ns, int64_t stop_ns) noexcept nogil:
        self.schedule.start_ns, self.schedule.warm_until_ns, self.schedule.stop_ns = start_ns, warm_until_ns, stop_ns

    cdef void release(self, int64_t now_ns) noexcept nogil:
        cdef uint32_t index
        while schedule_is_due(&self.schedule, now_ns):
            index = <uint32_t> (self.schedule.next.index % self.pool.count)
            schedule_advance(&self.schedule)
            self.connections[index].waiting += 1
            if not self.pool.conns[index].has_request and now_ns < self.schedule.stop_ns:
                self.begin_oldest(index)
        self.due_ns = schedule_next_ns(&self.schedule)

    cdef void on_free(self, uint32_t index, int64_t now_ns) noexcept nogil:
        if self.connections[index].waiting > 0 and now_ns < self.schedule.stop_ns:
            self.begin_oldest(index)

    cdef inline void begin_oldest(self, uint32_t index) noexcept nogil:
        """Begin the first of a connection's requests that are due."""
        cdef ConnectionSchedule *connection = &self.connections[index]
        cdef uint64_t request = connection.next_index
        cdef int64_t intended_ns = self.schedule.start_ns + pacer_offset_ns(&self.schedule.next, request)
        connection.waiting -= 1
        connection.next_index += self.pool.count
        self.lifecycle.begin(index, intended_ns, share_number(&self.share, request))
        self.accounting.record_lag(&self.pool.conns[index])

    cdef uint64_t planned(self) noexcept nogil:
        return self.request_limit if self.request_limit > 0 else self.schedule.due
