# The shape of a load: stages in which a level (requests a second, or users) goes in a straight line. Pure arithmetic, no clock.

from libc.math cimport log1p, rint, sqrt

cdef struct ShapeStage:
    int64_t begin_ns
    int64_t duration_ns     # NEVER_NS: without an end
    double first            # level at its begin and at its end
    double last
    double before           # the integral of the level (in level-seconds) up to its begin, and up to its end
    double after

cdef struct Shape:
    ShapeStage *stages
    uint32_t count


cdef double shape_snap(double value) noexcept nogil:
    """Sums of decimal fractions miss whole numbers by a hair; a request more or less would follow from that."""
    cdef double whole = rint(value)
    return whole if -1e-6 < value - whole < 1e-6 else value


cdef int shape_init(Shape *shape, list stages) except -1:
    """From (duration_ns, first, last) triples; duration 0: without an end. ValueError, MemoryError."""
    cdef int64_t begin_ns = 0
    cdef double integral = 0
    cdef ShapeStage *stage
    shape.stages = <ShapeStage *> calloc(max(len(stages), 1), sizeof(ShapeStage))
    if shape.stages == NULL:
        raise MemoryError
    shape.count = 0
    for duration_ns, first, last in stages:
        if duration_ns < 0 or not 0 <= first <= 1e9 or not 0 <= last <= 1e9:
            raise ValueError("a stage needs a duration and levels from 0 to 1e9")
        if begin_ns >= NEVER_NS or (duration_ns == 0 and first != last):
            raise ValueError("only the last stage may be without an end, and it then has one level")
        stage = &shape.stages[shape.count]
        stage.begin_ns = begin_ns
        stage.duration_ns = duration_ns or NEVER_NS
        stage.first = first
        stage.last = last
        stage.before = integral
        integral = shape_snap(integral + (first + last) / 2 * (<double> stage.duration_ns / NS_PER_S))
        stage.after = integral
        begin_ns = min(begin_ns + stage.duration_ns, NEVER_NS)
        shape.count += 1
    return 0


cdef inline uint32_t shape_stage_at(const Shape *shape, int64_t offset_ns, uint32_t near) noexcept nogil:
    """The stage of an instant; `near`: a stage close to it, from which the search goes."""
    while near + 1 < shape.count and offset_ns >= shape.stages[near + 1].begin_ns:
        near += 1
    while near > 0 and offset_ns < shape.stages[near].begin_ns:
        near -= 1
    return near


cdef inline int64_t shape_instant_ns(const Shape *shape, double integral, uint32_t *near) noexcept nogil:
    """When the integral of the level reaches a value; NEVER_NS if it doesn't. Values must not decrease for one `near`."""
    cdef const ShapeStage *stage
    cdef double part, slope, root, offset_ns
    while near[0] < shape.count and integral >= shape.stages[near[0]].after:
        near[0] += 1
    if near[0] >= shape.count:
        return NEVER_NS
    stage = &shape.stages[near[0]]
    part = integral - stage.before
    if part <= 0:
        return stage.begin_ns
    if stage.first == stage.last:
        offset_ns = part * NS_PER_S / stage.first
    else:
        # first * t + slope * t^2 / 2 = part, in the form that loses no digits for small slopes.
        slope = (stage.last - stage.first) / (<double> stage.duration_ns / NS_PER_S)
        root = stage.first * stage.first + 2 * slope * part
        offset_ns = 2 * part * NS_PER_S / (stage.first + sqrt(root if root > 0 else 0))
    return min(stage.begin_ns + <int64_t> offset_ns, NEVER_NS)


cdef inline int64_t shape_crossing_ns(const ShapeStage *stage, double level) noexcept nogil:
    """Within a stage that goes from one side of a level to the other: when it crosses."""
    return <int64_t> (stage.duration_ns * ((level - stage.first) / (stage.last - stage.first)))


cdef int64_t shape_rises_above(const Shape *shape, double level, int64_t from_ns) noexcept nogil:
    """The first instant from `from_ns` on right after which the level is above `level`; NEVER_NS if there is none."""
    cdef const ShapeStage *stage
    cdef uint32_t index
    cdef int64_t within_ns
    for index in range(shape_stage_at(shape, from_ns, 0), shape.count):
        stage = &shape.stages[index]
        within_ns = max(from_ns - stage.begin_ns, 0)
        if within_ns >= stage.duration_ns:
            break
        if stage.first <= level < stage.last:
            return stage.begin_ns + max(within_ns, shape_crossing_ns(stage, level))
        if stage.first > level and (stage.last > level or within_ns < shape_crossing_ns(stage, level)):
            return stage.begin_ns + within_ns
    return NEVER_NS


cdef int64_t shape_falls_to(const Shape *shape, double level, int64_t from_ns) noexcept nogil:
    """The first instant after `from_ns`, right after which the level was above `level`, where it is no longer."""
    cdef uint32_t now = shape_stage_at(shape, from_ns, 0)
    cdef const ShapeStage *stage = &shape.stages[now]
    cdef uint32_t index
    for index in range(now, shape.count):
        stage = &shape.stages[index]
        if index > now and stage.first <= level and not (stage.first == level and stage.last > level):
            return stage.begin_ns
        if stage.last <= level < stage.first:
            return stage.begin_ns + shape_crossing_ns(stage, level)
    return min(stage.begin_ns + stage.duration_ns, NEVER_NS)
