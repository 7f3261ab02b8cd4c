# The highest rate that the host's owner allows, kept where requests are sent: whether the load profile, a redirect or a retry
# wants one out. A token bucket that begins with one token. A request that finds no token waits on its open connection, behind
# those that have waited longer.

cdef enum:
    # What the bucket holds, in time at the highest rate: a generator that is a little late must not fall behind for good.
    SEND_BURST_NS = 100000000


@final
cdef class SendLimit:

    cdef:
        double interval_ns          # between sends at the highest rate; 0 without a limit, where nothing else is called
        double full_ns              # when the bucket will be full, from `origin_ns` on
        int64_t origin_ns           # of the first send; 0: there was none
        ConnList waiting            # connections with requests that wait for a token
        Conn *conns                 # the pool's

    def __cinit__(self, ConnectionPool pool not None, double sends_per_s):
        conn_list_init(&self.waiting)
        self.conns = pool.conns
        self.interval_ns = NS_PER_S / sends_per_s if sends_per_s > 0 else 0

    cdef bint take(self, int64_t now_ns) noexcept nogil:
        """Take a token, or return False if there is none yet."""
        cdef double offset_ns
        if self.origin_ns == 0:
            self.origin_ns = now_ns
            self.full_ns = SEND_BURST_NS
        offset_ns = <double> (now_ns - self.origin_ns)
        if offset_ns < self.full_ns - SEND_BURST_NS:
            return False
        self.full_ns = max(self.full_ns, offset_ns) + self.interval_ns
        return True

    cdef bint admits(self, uint32_t index, int64_t now_ns) noexcept nogil:
        """Whether a connection's request may be sent now; if not, it waits."""
        if self.waiting.oldest == NO_CONN and self.take(now_ns):
            return True
        conn_list_append(&self.waiting, self.conns, index, LIST_LIMITED)
        return False

    cdef inline int64_t next_release_ns(self) noexcept nogil:
        """When there will be a token for the first request that waits; NEVER_NS if none does."""
        if self.waiting.oldest == NO_CONN:
            return NEVER_NS
        return self.origin_ns + <int64_t> (self.full_ns - SEND_BURST_NS) + 1

    cdef uint32_t release(self, int64_t now_ns) noexcept nogil:
        """Take a token for the first request that waits, and return its connection; NO_CONN: none may be sent now."""
        cdef uint32_t index = self.waiting.oldest
        if index == NO_CONN or not self.take(now_ns):
            return NO_CONN
        conn_list_remove(&self.waiting, self.conns, index, LIST_LIMITED)
        return index

    cdef inline void forget(self, Conn *conn) noexcept nogil:
        """Let a request wait no longer, since its connection is about to be closed."""
        conn_list_remove(&self.waiting, self.conns, <uint32_t> (conn - self.conns), LIST_LIMITED)
