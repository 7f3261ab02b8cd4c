# A generator decides what is sent next, and when. There is one for each load model.

LOAD_MODELS = ("closed", "connection_rate", "rate", "users")

cdef enum:
    # Closed loops or users started in one turn of the loop: responses to the first of many thousands should not wait until the
    # last one has started.
    STARTS_A_TURN = 256


cdef class Generator:
    """What a worker asks of every load model. The worker reports what its connections do, in the order in which it happens."""

    cdef:
        Lifecycle lifecycle
        ConnectionPool pool
        Accounting accounting
        PlanShare share
        uint64_t request_limit      # 0: none; the warm-up does not count
        int64_t due_ns              # when `release` has something to do; 0: now; NEVER_NS: not in the foreseeable future
        int64_t start_ns            # 0: the load has not started
        int64_t stop_ns

    cdef init(self, Lifecycle lifecycle, PlanShare share, uint64_t request_limit):
        """Take what every generator needs."""
        self.lifecycle, self.pool, self.accounting = lifecycle, lifecycle.pool, lifecycle.accounting
        self.share = share
        self.request_limit = request_limit

    cdef uint32_t connections_ahead(self) noexcept nogil:
        """How many connections to open ahead of the start: those used from the first instant on."""
        return self.pool.count

    cdef void start(self, int64_t start_ns, int64_t warm_until_ns, int64_t stop_ns) noexcept nogil:
        """Start the load at an instant that is now known."""
        self.start_ns = start_ns
        self.stop_ns = stop_ns

    cdef void release(self, int64_t now_ns) noexcept nogil:
        """Begin the requests that are due, and set `due_ns` for those that follow."""
        pass

    cdef void on_free(self, uint32_t index, int64_t now_ns) noexcept nogil:
        """Take note that a connection's request has ended; the connection is idle or closed."""
        pass

    cdef void on_opened(self, uint32_t index, int64_t now_ns) noexcept nogil:
        """Take note that a connection without a request is open."""
        pass

    cdef void on_not_opened(self, uint32_t index, int kind, int64_t now_ns) noexcept nogil:
        """Take note that a connection without a request could not be opened; `kind` is the error kind."""
        pass

    cdef uint64_t planned(self) noexcept nogil:
        """How many requests the plan wanted up to now, without the warm-up."""
        return self.request_limit if self.request_limit > 0 else self.accounting.begun

    cdef inline bint may_begin(self, int64_t now_ns) noexcept nogil:
        """Whether a closed loop or a user may send one more request."""
        return now_ns < self.stop_ns and (self.request_limit == 0 or self.accounting.begun < self.request_limit)

    cdef inline void begin_next(self, uint32_t index) noexcept nogil:
        """Begin the worker's next request now, without a schedule."""
        self.lifecycle.begin(
            index, 0, share_number(&self.share, self.accounting.begun + self.accounting.warm_begun)
        )
