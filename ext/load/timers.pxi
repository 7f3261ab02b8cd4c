# Instants at which connections have something to do: a binary heap with at most one instant a connection.

cdef struct Timer:
    int64_t due_ns
    uint32_t index          # of the connection

cdef struct Timers:
    Timer *heap             # room for one for each connection
    uint32_t count


cdef inline int64_t timers_next_ns(const Timers *timers) noexcept nogil:
    """When the first timer is due; NEVER_NS if there is none."""
    return timers.heap[0].due_ns if timers.count > 0 else <int64_t> NEVER_NS


cdef void timers_add(Timers *timers, uint32_t index, int64_t due_ns) noexcept nogil:
    """Add a timer for a connection that has none."""
    cdef uint32_t hole = timers.count
    cdef uint32_t parent
    timers.count += 1
    while hole > 0:
        parent = (hole - 1) // 2
        if timers.heap[parent].due_ns <= due_ns:
            break
        timers.heap[hole] = timers.heap[parent]
        hole = parent
    timers.heap[hole].due_ns = due_ns
    timers.heap[hole].index = index


cdef Timer timers_take(Timers *timers) noexcept nogil:
    """Remove and return the first timer. There must be one."""
    cdef Timer first = timers.heap[0]
    cdef Timer *last
    cdef uint32_t hole = 0
    cdef uint32_t child = 1
    timers.count -= 1
    last = &timers.heap[timers.count]
    while child < timers.count:
        if child + 1 < timers.count and timers.heap[child + 1].due_ns < timers.heap[child].due_ns:
            child += 1
        if last.due_ns <= timers.heap[child].due_ns:
            break
        timers.heap[hole] = timers.heap[child]
        hole = child
        child = 2 * hole + 1
    timers.heap[hole] = last[0]
    return first
