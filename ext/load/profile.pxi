# The load profile: stages in which a level (requests a second, or users) changes linearly. Pure arithmetic, no clock.

from libc.math cimport log1p, rint, sqrt

cdef struct ProfileStage:
    int64_t begin_ns
    int64_t duration_ns     # NEVER_NS: it has no end
    double first            # level at its beginning and at its end
    double last
    double before           # the integral of the level (in level-seconds) up to its beginning, and up to its end
    double after

cdef struct LoadProfile:
    ProfileStage *stages
    uint32_t count


cdef double profile_snap(double value) noexcept nogil:
    """Round to a whole number if there is one within 1e-6.

    Sums of decimal fractions miss whole numbers by a rounding error, which would add or remove a request.
    """
    cdef double whole = rint(value)
    return whole if -1e-6 < value - whole < 1e-6 else value


cdef int profile_init(LoadProfile *profile, stages) except -1:
    """Take (duration_ns, first, last) triples; duration 0 has no end. Raises ValueError and MemoryError."""
    cdef int64_t begin_ns = 0
    cdef double integral = 0
    cdef ProfileStage *stage
    profile.stages = <ProfileStage *> calloc(max(len(stages), 1), sizeof(ProfileStage))
    if profile.stages == NULL:
        raise MemoryError
    profile.count = 0
    for duration_ns, first, last in stages:
        if duration_ns < 0 or not 0 <= first <= 1e9 or not 0 <= last <= 1e9:
            raise ValueError("a stage needs a duration and levels from 0 to 1e9")
        if begin_ns >= NEVER_NS or (duration_ns == 0 and first != last):
            raise ValueError("only the last stage may have no end, and its level is then constant")
        stage = &profile.stages[profile.count]
        stage.begin_ns = begin_ns
        stage.duration_ns = duration_ns or NEVER_NS
        stage.first = first
        stage.last = last
        stage.before = integral
        integral = profile_snap(integral + (first + last) / 2 * (<double> stage.duration_ns / NS_PER_S))
        stage.after = integral
        begin_ns = min(begin_ns + stage.duration_ns, NEVER_NS)
        profile.count += 1
    return 0


cdef inline uint32_t profile_stage_at(const LoadProfile *profile, int64_t offset_ns, uint32_t near) noexcept nogil:
    """The stage at an instant. The search begins at the stage `near`."""
    while near + 1 < profile.count and offset_ns >= profile.stages[near + 1].begin_ns:
        near += 1
    while near > 0 and offset_ns < profile.stages[near].begin_ns:
        near -= 1
    return near


cdef inline int64_t profile_instant_ns(const LoadProfile *profile, double integral, uint32_t *near) noexcept nogil:
    """When the integral of the level reaches a value; NEVER_NS if it never does.

    `near` is the stage of the last value, which must not be larger.
    """
    cdef const ProfileStage *stage
    cdef double rest, slope, root, offset_ns
    while near[0] < profile.count and integral >= profile.stages[near[0]].after:
        near[0] += 1
    if near[0] >= profile.count:
        return NEVER_NS
    stage = &profile.stages[near[0]]
    rest = integral - stage.before
    if rest <= 0:
        return stage.begin_ns
    if stage.first == stage.last:
        offset_ns = rest * NS_PER_S / stage.first
    else:
        # first * t + slope * t^2 / 2 = rest, in the form that loses no digits for small slopes.
        slope = (stage.last - stage.first) / (<double> stage.duration_ns / NS_PER_S)
        root = stage.first * stage.first + 2 * slope * rest
        offset_ns = 2 * rest * NS_PER_S / (stage.first + sqrt(root if root > 0 else 0))
    return min(stage.begin_ns + <int64_t> offset_ns, NEVER_NS)


cdef inline int64_t profile_crossing_ns(const ProfileStage *stage, double level) noexcept nogil:
    """When a stage that crosses a level does so, from its beginning."""
    return <int64_t> (stage.duration_ns * ((level - stage.first) / (stage.last - stage.first)))


cdef int64_t profile_rises_above(const LoadProfile *profile, double level, int64_t from_ns) noexcept nogil:
    """The first instant from `from_ns` on right after which the level is above `level`; NEVER_NS if there is none."""
    cdef const ProfileStage *stage
    cdef uint32_t index
    cdef int64_t within_ns
    for index in range(profile_stage_at(profile, from_ns, 0), profile.count):
        stage = &profile.stages[index]
        within_ns = max(from_ns - stage.begin_ns, 0)
        if within_ns >= stage.duration_ns:
            break
        if stage.first <= level < stage.last:
            return stage.begin_ns + max(within_ns, profile_crossing_ns(stage, level))
        if stage.first > level and (stage.last > level or within_ns < profile_crossing_ns(stage, level)):
            return stage.begin_ns + within_ns
    return NEVER_NS


cdef int64_t profile_falls_to(const LoadProfile *profile, double level, int64_t from_ns) noexcept nogil:
    """The first instant after `from_ns`, right after which the level was above `level`, where it is no longer."""
    cdef uint32_t now = profile_stage_at(profile, from_ns, 0)
    cdef const ProfileStage *stage = &profile.stages[now]
    cdef uint32_t index
    for index in range(now, profile.count):
        stage = &profile.stages[index]
        if index > now and stage.first <= level and not (stage.first == level and stage.last > level):
            return stage.begin_ns
        if stage.last <= level < stage.first:
            return stage.begin_ns + profile_crossing_ns(stage, level)
    return min(stage.begin_ns + stage.duration_ns, NEVER_NS)
