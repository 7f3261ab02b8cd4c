# Users: connection i is the plan's user of the same number. Users come and go with the load profile, and think between requests.

cdef enum ThinkKind:
    THINK_NOT
    THINK_UNIFORM
    THINK_EXPONENTIAL

THINK_NAMES = ("", "uniform", "exponential")

# How long users think after a response.
cdef struct ThinkTime:
    ThinkKind kind
    int64_t low_ns              # exponential: the mean
    int64_t high_ns

cdef struct User:
    int64_t ends_ns
    uint64_t random             # state of its think times


cdef ThinkTime think_time_from(think) except *:
    """Take None or (name, low_ns, high_ns). Raises ValueError."""
    cdef ThinkTime time
    memset(&time, 0, sizeof(time))
    if think is None:
        return time
    kind, time.low_ns, time.high_ns = think
    time.kind = <ThinkKind> <int> THINK_NAMES.index(kind)
    if time.low_ns < 0 or (time.kind == THINK_UNIFORM and time.high_ns < time.low_ns):
        raise ValueError("a think time can't be negative, nor its maximum below its minimum")
    return time


cdef inline int64_t draw_think_time_ns(const ThinkTime *time, uint64_t *random) noexcept nogil:
    if time.kind == THINK_UNIFORM:
        return time.low_ns + <int64_t> (random_unit(random) * <double> (time.high_ns - time.low_ns))
    if time.kind == THINK_EXPONENTIAL:
        return <int64_t> (random_exponential(random) * time.low_ns)
    return 0


@final
cdef class UsersGenerator(Generator):

    cdef:
        const LoadProfile *profile
        ThinkTime think
        User *users
        Timers timers               # when users come, or have thought

    def __dealloc__(self):
        free(self.users)
        free(self.timers.heap)

    cdef set_users(self, const LoadProfile *profile, think, uint64_t seed):
        """Raises ValueError and MemoryError."""
        cdef uint32_t index
        self.profile = profile
        self.think = think_time_from(think)
        self.users = <User *> calloc(self.pool.count, sizeof(User))
        self.timers.heap = <Timer *> calloc(self.pool.count, sizeof(Timer))
        if self.users == NULL or self.timers.heap == NULL:
            raise MemoryError
        for index in range(self.pool.count):
            self.users[index].random = random_seed(~seed, share_number(&self.share, index))

    cdef uint32_t connections_ahead(self) noexcept nogil:
        return 0

    cdef void start(self, int64_t start_ns, int64_t warm_until_ns, int64_t stop_ns) noexcept nogil:
        cdef uint32_t index
        self.start_ns, self.stop_ns = start_ns, stop_ns
        self.due_ns = NEVER_NS
        for index in range(self.pool.count):
            self.await_user(index, 0)

    cdef void await_user(self, uint32_t index, int64_t from_ns) noexcept nogil:
        """Wait until a connection's user comes (again), `from_ns` after the start at the earliest."""
        cdef double user = <double> share_number(&self.share, index)
        cdef int64_t begins_ns = profile_rises_above(self.profile, user, from_ns)
        if begins_ns >= NEVER_NS:
            return
        self.users[index].ends_ns = self.start_ns + profile_falls_to(self.profile, user, begins_ns)
        self.add_timer(index, self.start_ns + begins_ns)

    cdef inline void add_timer(self, uint32_t index, int64_t due_ns) noexcept nogil:
        timers_add(&self.timers, index, due_ns)
        self.due_ns = timers_next_ns(&self.timers)

    cdef void release(self, int64_t now_ns) noexcept nogil:
        cdef uint32_t left = STARTS_A_TURN
        cdef Timer timer
        while left > 0 and timers_next_ns(&self.timers) <= now_ns and now_ns < self.stop_ns:
            left -= 1
            timer = timers_take(&self.timers)
            if self.may_begin(now_ns):
                self.begin_next(timer.index)
                self.accounting.record_generator_lag(&self.pool.conns[timer.index], timer.due_ns)
        self.due_ns = timers_next_ns(&self.timers)

    cdef void on_free(self, uint32_t index, int64_t now_ns) noexcept nogil:
        cdef User *user = &self.users[index]
        cdef int64_t next_ns = now_ns + draw_think_time_ns(&self.think, &user.random)
        if next_ns >= user.ends_ns:
            self.await_user(index, max(user.ends_ns, now_ns) - self.start_ns)
        elif next_ns > now_ns:
            self.add_timer(index, next_ns)
        elif self.may_begin(now_ns):
            self.begin_next(index)
