# The closed loop: every connection sends its next request as soon as the response to the last one is complete.


@final
cdef class ClosedGenerator(Generator):

    cdef uint32_t started           # connections that have begun their first request

    cdef void release(self, int64_t now_ns) noexcept nogil:
        """Start the loops of further connections."""
        cdef uint32_t left = STARTS_A_TURN
        while left > 0 and self.started < self.pool.count:
            left -= 1
            self.started += 1
            self.on_free(self.started - 1, self.start_ns)
        if self.started == self.pool.count:
            self.due_ns = NEVER_NS

    cdef void on_free(self, uint32_t index, int64_t now_ns) noexcept nogil:
        if self.may_begin(now_ns):
            self.begin_next(index)
