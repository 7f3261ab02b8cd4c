# When requests should leave: pure arithmetic from an index to an instant. No clock and no sleep in it.

# The share of a plan that one worker has. Its connections are number first, first + stride, ... of the plan's, and request t of the
# plan belongs to connection t modulo their number. So the requests of all workers are the plan's, each of them once.
cdef struct PlanShare:
    uint32_t plan_connections
    uint32_t first
    uint32_t stride
    uint32_t connections        # of the worker

# A position in a worker's schedule.
cdef struct Pacer:
    const LoadProfile *profile
    PlanShare share
    bint poisson
    uint64_t random
    double arrived              # poisson: the integral of the rate up to the request, in requests of the plan
    uint64_t index              # of the worker's request: 0, 1, 2, ...
    uint32_t stage
    int64_t offset_ns           # of the request, from the start of the load; NEVER_NS after the last one


cdef inline uint64_t share_number(const PlanShare *share, uint64_t index) noexcept nogil:
    """The plan's number of a worker's request."""
    return index // share.connections * share.plan_connections + share.first + index % share.connections * share.stride


cdef inline int64_t pacer_offset_ns(const Pacer *pacer, uint64_t index) noexcept nogil:
    """Intended instant of any request of an even schedule, from the start of the load; never decreases with `index`.

    The plan's first request is due at the start, so that a load of d seconds at rate r has r * d requests.
    """
    cdef uint32_t stage = 0
    return profile_instant_ns(pacer.profile, <double> share_number(&pacer.share, index), &stage)


cdef inline void pacer_update(Pacer *pacer) noexcept nogil:
    """Compute the instant of the request that the pacer is at."""
    if pacer.poisson:
        # Splitting a Poisson process yields Poisson processes; those of all workers add up to the plan's.
        pacer.arrived += random_exponential(&pacer.random) * pacer.share.plan_connections / pacer.share.connections
        pacer.offset_ns = profile_instant_ns(pacer.profile, pacer.arrived, &pacer.stage)
    else:
        pacer.offset_ns = profile_instant_ns(
            pacer.profile, <double> share_number(&pacer.share, pacer.index), &pacer.stage
        )


cdef inline void pacer_advance(Pacer *pacer) noexcept nogil:
    pacer.index += 1
    pacer_update(pacer)


cdef Pacer pacer_new(const LoadProfile *profile, PlanShare share, bint poisson, uint64_t seed) noexcept nogil:
    """A pacer at the worker's first request."""
    cdef Pacer pacer
    memset(&pacer, 0, sizeof(pacer))
    pacer.profile = profile
    pacer.share = share
    pacer.poisson = poisson
    pacer.random = random_seed(seed, share.first)
    pacer_update(&pacer)
    return pacer


cdef class ScheduleProbe:
    """A worker's schedule, for tests and other tools. Documented in _core.pyi."""

    cdef LoadProfile profile
    cdef Pacer pacer

    def __cinit__(self):
        self.profile.stages = NULL

    def __init__(self, list stages not None, *, uint32_t plan_connections=1, uint32_t first=0, uint32_t stride=1,
                 uint32_t connections=1, bint poisson=False, uint64_t seed=0):
        free(self.profile.stages)
        profile_init(&self.profile, stages)
        if not connections or plan_connections < connections or not stages:
            raise ValueError("a schedule needs a stage, connections, and no more of them than the plan has")
        self.pacer = pacer_new(&self.profile, PlanShare(plan_connections, first, stride, connections), poisson, seed)

    def __dealloc__(self):
        free(self.profile.stages)

    def offset_ns(self, uint64_t index):
        return pacer_offset_ns(&self.pacer, index)

    def next_ns(self):
        offset_ns = self.pacer.offset_ns
        if offset_ns >= NEVER_NS:
            return None
        pacer_advance(&self.pacer)
        return offset_ns

    def user_begins_ns(self, uint64_t user, int64_t from_ns=0):
        offset_ns = profile_rises_above(&self.profile, <double> user, from_ns)
        return None if offset_ns >= NEVER_NS else offset_ns

    def user_ends_ns(self, uint64_t user, int64_t from_ns):
        offset_ns = profile_falls_to(&self.profile, <double> user, from_ns)
        return None if offset_ns >= NEVER_NS else offset_ns
