# When requests should leave: pure arithmetic from an index to an instant. No clock and no sleep in it.

cdef struct Pacer:
    const Shape *shape
    # This worker's connections are number first, first + stride, ... of the plan's, and tick t of the plan is of connection t
    # modulo their number: so the ticks of all workers are the plan's, each of them once.
    uint32_t plan_connections
    uint32_t first
    uint32_t stride
    uint32_t connections
    bint poisson
    uint64_t random
    double arrived          # poisson: the integral of the rate up to the tick, in requests of the plan
    uint64_t tick           # of this worker: 0, 1, 2, ...
    uint32_t stage
    int64_t offset_ns       # of the tick, from the start of the load; NEVER_NS after the last


cdef inline uint64_t pacer_number(const Pacer *pacer, uint64_t tick) noexcept nogil:
    """The plan's number of a worker's tick."""
    return (tick // pacer.connections * pacer.plan_connections + pacer.first
            + tick % pacer.connections * pacer.stride)


cdef inline int64_t pacer_offset_ns(const Pacer *pacer, uint64_t tick) noexcept nogil:
    """Intended instant of any tick of an even schedule, from the start of the load; never decreases with `tick`.

    The plan's first request is due at the start, so that a load of d seconds at rate r has r * d requests.
    """
    cdef uint32_t stage = 0
    return shape_instant_ns(pacer.shape, <double> pacer_number(pacer, tick), &stage)


cdef inline void pacer_place(Pacer *pacer) noexcept nogil:
    """Find the instant of the tick that the pacer stands at."""
    if pacer.poisson:
        # A part of a Poisson process is one: the parts of all workers add up to the plan's.
        pacer.arrived += chance_exponential(&pacer.random) * pacer.plan_connections / pacer.connections
        pacer.offset_ns = shape_instant_ns(pacer.shape, pacer.arrived, &pacer.stage)
    else:
        pacer.offset_ns = shape_instant_ns(pacer.shape, <double> pacer_number(pacer, pacer.tick), &pacer.stage)


cdef inline void pacer_next(Pacer *pacer) noexcept nogil:
    pacer.tick += 1
    pacer_place(pacer)


cdef Pacer make_pacer(const Shape *shape, uint32_t plan_connections, uint32_t first, uint32_t stride,
                      uint32_t connections, bint poisson, uint64_t seed) noexcept nogil:
    """A pacer at its first tick."""
    cdef Pacer pacer
    memset(&pacer, 0, sizeof(pacer))
    pacer.shape = shape
    pacer.plan_connections = plan_connections
    pacer.first = first
    pacer.stride = stride
    pacer.connections = connections
    pacer.poisson = poisson
    pacer.random = chance_seed(seed, first)
    pacer_place(&pacer)
    return pacer


cdef class ScheduleProbe:
    """The arithmetic of schedules for tests and for other tools: instants in nanoseconds from the start of the load.

    `stages` are (duration_ns, first level, last level); duration 0 is without an end, for the last. The connections number
    first, first + stride, ... of the plan's are a worker's. ValueError.
    """

    cdef Shape shape
    cdef Pacer pacer

    def __cinit__(self):
        self.shape.stages = NULL

    def __init__(self, list stages not None, *, uint32_t plan_connections=1, uint32_t first=0, uint32_t stride=1,
                 uint32_t connections=1, bint poisson=False, uint64_t seed=0):
        free(self.shape.stages)
        shape_init(&self.shape, stages)
        if not connections or plan_connections < connections or not stages:
            raise ValueError("a schedule needs a stage, connections, and no more of them than the plan has")
        self.pacer = make_pacer(&self.shape, plan_connections, first, stride, connections, poisson, seed)

    def __dealloc__(self):
        free(self.shape.stages)

    def offset_ns(self, uint64_t tick):
        """Of a worker's tick of an even schedule."""
        return pacer_offset_ns(&self.pacer, tick)

    def next_ns(self):
        """Of the worker's next tick, from the first on; None after the last."""
        offset_ns = self.pacer.offset_ns
        if offset_ns >= NEVER_NS:
            return None
        pacer_next(&self.pacer)
        return offset_ns

    def user_begins_ns(self, uint64_t user, int64_t from_ns=0):
        """When a user (0, 1, ...) begins, at or after an instant; None if never."""
        offset_ns = shape_rises_above(&self.shape, <double> user, from_ns)
        return None if offset_ns >= NEVER_NS else offset_ns

    def user_ends_ns(self, uint64_t user, int64_t from_ns):
        """When a user that began at an instant ends; None if never."""
        offset_ns = shape_falls_to(&self.shape, <double> user, from_ns)
        return None if offset_ns >= NEVER_NS else offset_ns
