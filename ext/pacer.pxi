# When requests should leave: pure arithmetic from an index to an instant. No clock and no sleep in it.

cdef struct Pacer:
    # Nanoseconds between two requests of one connection; 0: closed loop, nothing is scheduled.
    double interval_ns
    # Between neighbouring connections of the whole plan, so that they don't all tick at once.
    double phase_ns
    # This worker's connections are number first, first + stride, first + 2 * stride, ... of the plan's.
    uint32_t first
    uint32_t stride


cdef inline int64_t pacer_offset_ns(const Pacer *pacer, uint64_t tick, uint32_t connections) noexcept nogil:
    """Intended instant of a worker's tick number `tick`, from the start of the load; never decreases with `tick`.

    Tick t belongs to the worker's connection t modulo `connections`. The plan's first request is due at the start, so that a
    load of d seconds has rate * d requests.
    """
    cdef uint64_t turn = tick // connections
    cdef uint64_t number = pacer.first + (tick % connections) * pacer.stride
    return <int64_t> (turn * pacer.interval_ns + number * pacer.phase_ns)


cdef class PacerProbe:
    """The pacer's arithmetic for tests and for other tools: instants of one worker's ticks, in nanoseconds from the start."""

    cdef Pacer pacer
    cdef uint32_t connections

    def __init__(self, double rate_per_connection, uint32_t plan_connections, uint32_t first, uint32_t stride,
                 uint32_t connections):
        self.pacer = make_pacer(rate_per_connection, plan_connections, first, stride)
        self.connections = connections

    def offset_ns(self, uint64_t tick):
        return pacer_offset_ns(&self.pacer, tick, self.connections)


cdef Pacer make_pacer(double rate_per_connection, uint32_t plan_connections, uint32_t first,
                      uint32_t stride) noexcept nogil:
    """A pacer for `rate_per_connection` requests a second on each of the plan's connections; rate 0 is a closed loop."""
    cdef Pacer pacer
    pacer.interval_ns = NS_PER_S / rate_per_connection if rate_per_connection > 0 else 0
    pacer.phase_ns = pacer.interval_ns / plan_connections
    pacer.first = first
    pacer.stride = stride
    return pacer
