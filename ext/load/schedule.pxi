# The schedule of one worker: which of its requests are due.

cdef struct Schedule:
    Pacer next                  # at the first request that is not due yet
    uint64_t due                # requests that have become due, without the warm-up
    uint64_t limit              # of `due`; 0: none
    int64_t start_ns            # 0: the load has not started
    int64_t warm_until_ns
    int64_t stop_ns


cdef inline int64_t schedule_next_ns(const Schedule *schedule) noexcept nogil:
    """When the next request is due; NEVER_NS after the last one."""
    if schedule.limit > 0 and schedule.due >= schedule.limit:
        return NEVER_NS
    return schedule.start_ns + schedule.next.offset_ns


cdef inline bint schedule_is_due(const Schedule *schedule, int64_t now_ns) noexcept nogil:
    cdef int64_t next_ns = schedule_next_ns(schedule)
    return next_ns <= now_ns and next_ns < schedule.stop_ns


cdef inline void schedule_advance(Schedule *schedule) noexcept nogil:
    """Go on to the next request; the current one is due."""
    if schedule.start_ns + schedule.next.offset_ns >= schedule.warm_until_ns:
        schedule.due += 1
    pacer_advance(&schedule.next)
