# HDR histograms of nanoseconds, in one fixed configuration: lowest discernible 100 ns, highest trackable
# 1 hour, 3 significant digits. All histograms have the same buckets, so that merging is addition and loses nothing.
#
# The layout of the counts is that of HdrHistogram. The unit is the greatest power of two not above the lowest
# discernible value (64 ns). Bucket 0 holds 2048 sub-buckets of one unit; each later bucket b reaches twice as
# far as the one before, and covers the additional range in 1024 sub-buckets of 2^b units. 2048 is the first power of
# two not below 2 * 10^3, which is what 3 digits need.

from libc.string cimport memcmp, memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap

from heyfleet.ext.c_compiler cimport __builtin_clzll, uint128_t

cdef enum:
    HDR_DIGITS = 3
    HDR_LOWEST_NS = 100
    HDR_UNIT_BITS = 6
    HDR_HALF_BITS = 10
    HDR_HALF = 1024
    HDR_SUB_BUCKETS = 2048
    # All bits of the values that bucket 0 holds: with them set, clz gives bucket 0 for each of these values.
    HDR_BUCKET_0_MASK = 131071
    # 26 buckets reach 1 hour (2048 * 64 ns * 2^25 is 73 minutes); bucket 0 has two halves.
    HDR_COUNTS_LENGTH = 27648
    # The array ends at a power of two, and the index of the highest value a bit before.
    HDR_USED_LENGTH = 27277

cdef enum:
    HDR_HIGHEST_NS = 3600000000000

cdef struct Hdr:
    uint64_t *counts
    uint64_t count
    # Of the values before clamping. Stops at 2^64 - 1 (584 years of waiting) rather than wrap.
    uint64_t sum_ns
    # Values above the highest, which are counted at the highest.
    uint64_t clamped
    # Exact, before clamping; INT64_MAX and 0 while empty, so that the first value is no special case.
    int64_t min_ns
    int64_t max_ns


cdef inline int64_t hdr_clamp(int64_t value_ns) noexcept nogil:
    return value_ns if value_ns < <int64_t> HDR_HIGHEST_NS else <int64_t> HDR_HIGHEST_NS


cdef inline int32_t hdr_index(int64_t value_ns) noexcept nogil:
    """The index at which a value is counted. The value must be between 0 and the highest."""
    cdef int bits = 64 - __builtin_clzll(<uint64_t> value_ns | HDR_BUCKET_0_MASK)
    cdef int bucket = bits - HDR_UNIT_BITS - HDR_HALF_BITS - 1
    return (bucket << HDR_HALF_BITS) + <int32_t> (value_ns >> (bucket + HDR_UNIT_BITS))


cdef inline int hdr_bucket(int32_t index) noexcept nogil:
    return 0 if index < HDR_SUB_BUCKETS else (index >> HDR_HALF_BITS) - 1


cdef inline int64_t hdr_width_ns(int32_t index) noexcept nogil:
    """How many different values are counted at an index."""
    return <int64_t> 1 << (HDR_UNIT_BITS + hdr_bucket(index))


cdef inline int64_t hdr_lowest_ns(int32_t index) noexcept nogil:
    """The lowest value counted at an index."""
    cdef int bucket = hdr_bucket(index)
    return <int64_t> (index - (bucket << HDR_HALF_BITS)) << (HDR_UNIT_BITS + bucket)


cdef inline int64_t hdr_highest_ns(int32_t index) noexcept nogil:
    """The highest value counted at an index, clamped values aside."""
    return hdr_lowest_ns(index) + hdr_width_ns(index) - 1


cdef inline int32_t hdr_first(const Hdr *h) noexcept nogil:
    """The lowest index in use; the histogram must not be empty."""
    return hdr_index(hdr_clamp(h.min_ns))


cdef inline int32_t hdr_last(const Hdr *h) noexcept nogil:
    """The highest index in use, or 0."""
    return hdr_index(hdr_clamp(h.max_ns))


cdef inline uint64_t hdr_sum(uint64_t sum_ns, uint64_t value_ns, uint64_t times) noexcept nogil:
    """sum + value * times, or 2^64 - 1 if that is less. As min(a + b, limit), it may be done in any order."""
    cdef uint128_t total = <uint128_t> value_ns * times + sum_ns
    return <uint64_t> total if total >> 64 == 0 else <uint64_t> -1


cdef void hdr_clear_totals(Hdr *h) noexcept nogil:
    h.count = h.sum_ns = h.clamped = 0
    h.min_ns = INT64_MAX
    h.max_ns = 0


cdef int hdr_init(Hdr *h) noexcept nogil:
    """Allocate a histogram; 0, or -1 without memory. Mapped, not calloc'ed, so that untouched pages are never allocated."""
    hdr_clear_totals(h)
    cdef void *pages = mmap(
        NULL, HDR_COUNTS_LENGTH * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0
    )
    h.counts = NULL if pages == MAP_FAILED else <uint64_t *> pages
    return 0 if h.counts != NULL else -1


cdef void hdr_free(Hdr *h) noexcept nogil:
    """Free a histogram. Safe after a failed hdr_init, and when called twice."""
    if h.counts != NULL:
        munmap(h.counts, HDR_COUNTS_LENGTH * sizeof(uint64_t))
        h.counts = NULL


cdef inline void hdr_record_times(Hdr *h, int64_t value_ns, uint64_t times) noexcept nogil:
    """Record a value `times` times (not 0). Negative values count as 0, those above the highest as the highest."""
    if value_ns < 0:
        value_ns = 0
    h.count += times
    h.sum_ns = hdr_sum(h.sum_ns, <uint64_t> value_ns, times)
    if value_ns < h.min_ns:
        h.min_ns = value_ns
    if value_ns > h.max_ns:
        h.max_ns = value_ns
    if value_ns > <int64_t> HDR_HIGHEST_NS:
        h.clamped += times
        value_ns = <int64_t> HDR_HIGHEST_NS
    h.counts[hdr_index(value_ns)] += times


cdef inline void hdr_record(Hdr *h, int64_t value_ns) noexcept nogil:
    hdr_record_times(h, value_ns, 1)


cdef void hdr_reset(Hdr *h) noexcept nogil:
    """Empty a histogram. Only counts in use are written to."""
    cdef int32_t first
    if h.count:
        first = hdr_first(h)
        memset(h.counts + first, 0, (hdr_last(h) - first + 1) * sizeof(uint64_t))
        hdr_clear_totals(h)


cdef void hdr_add_totals(Hdr *into, const Hdr *other) noexcept nogil:
    """Do everything that hdr_add does, except for the counts."""
    into.count += other.count
    into.sum_ns = hdr_sum(into.sum_ns, other.sum_ns, 1)
    into.clamped += other.clamped
    into.min_ns = min(into.min_ns, other.min_ns)
    into.max_ns = max(into.max_ns, other.max_ns)


cdef void hdr_add(Hdr *into, const Hdr *other) noexcept nogil:
    cdef int32_t index
    if other.count:
        for index in range(hdr_first(other), hdr_last(other) + 1):
            into.counts[index] += other.counts[index]
        hdr_add_totals(into, other)


cdef bint hdr_equal(const Hdr *a, const Hdr *b) noexcept nogil:
    if a.count != b.count or a.sum_ns != b.sum_ns or a.clamped != b.clamped:
        return False
    if a.min_ns != b.min_ns or a.max_ns != b.max_ns:
        return False
    if not a.count:
        return True
    cdef int32_t first = hdr_first(a)
    return memcmp(a.counts + first, b.counts + first, (hdr_last(a) - first + 1) * sizeof(uint64_t)) == 0
