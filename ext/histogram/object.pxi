# The histogram as Python sees it.

from fractions import Fraction

from libc.math cimport sqrt

cimport cython


cdef uint64_t hdr_total(str name, value, uint64_t limit) except? 0:
    """Convert a total from outside to a C number."""
    if not 0 <= value <= limit:
        raise ValueError(f"histogram has {name} {value}, expected 0 to {limit}")
    return value


cdef int hdr_claim(Hdr *claim, count, sum_ns, min_ns, max_ns, clamped) except -1:
    """Convert the totals sent beside a payload."""
    claim.counts = NULL
    claim.count = hdr_total("count", count, INT64_MAX)
    claim.sum_ns = hdr_total("sum_ns", sum_ns, <uint64_t> -1)
    claim.min_ns = hdr_total("min_ns", min_ns, INT64_MAX)
    claim.max_ns = hdr_total("max_ns", max_ns, INT64_MAX)
    claim.clamped = hdr_total("clamped", clamped, INT64_MAX)
    return 0


@cython.final
cdef class Histogram:
    """An HDR histogram of nanoseconds. Documented in _core.pyi."""

    LOWEST_NS = HDR_LOWEST_NS
    HIGHEST_NS = <int64_t> HDR_HIGHEST_NS
    DIGITS = HDR_DIGITS

    cdef Hdr hdr

    def __cinit__(self):
        if hdr_init(&self.hdr):
            raise MemoryError

    def __dealloc__(self):
        hdr_free(&self.hdr)

    @staticmethod
    cdef Histogram from_hdr(const Hdr *h):
        """A copy of `h`."""
        cdef Histogram new = Histogram.__new__(Histogram)
        hdr_add(&new.hdr, h)
        return new

    def since(self, Histogram older not None):
        """What was added after `older` was a copy of this; extremes and sum are those of the buckets, not exact."""
        cdef Histogram new = Histogram()
        cdef int32_t index
        if not self.hdr.count:
            return new
        for index in range(hdr_first(&self.hdr), hdr_last(&self.hdr) + 1):
            if self.hdr.counts[index] > older.hdr.counts[index]:
                hdr_record_times(&new.hdr, hdr_highest_ns(index), self.hdr.counts[index] - older.hdr.counts[index])
        return new

    def copy(self):
        """A histogram of its own with the same values."""
        return Histogram.from_hdr(&self.hdr)

    def record(self, int64_t value_ns, int64_t count=1):
        """Count a value `count` times; a negative one as 0, one above the highest at the highest."""
        if count < 1:
            raise ValueError(f"count is {count}, expected at least 1")
        hdr_check_room(&self.hdr, count)
        hdr_record_times(&self.hdr, value_ns, count)

    def add(self, Histogram other not None):
        """Add all values of the other."""
        hdr_check_room(&self.hdr, other.hdr.count)
        hdr_add(&self.hdr, &other.hdr)

    def reset(self):
        """Forget all values."""
        hdr_reset(&self.hdr)

    def encode(self):
        """The counts in HdrHistogram's V2 encoding, not compressed."""
        return hdr_encode(&self.hdr)

    def add_encoded(self, bytes payload not None, *, count, sum_ns, min_ns, max_ns, clamped):
        """Add an encoded histogram and its totals, or raise ValueError and change nothing."""
        add_encoded_all([(self, payload, count, sum_ns, min_ns, max_ns, clamped)])

    @property
    def count(self):
        """How many values."""
        return self.hdr.count

    @property
    def sum_ns(self):
        """The exact sum of the values, before clamping; stops at 2**64 - 1."""
        return self.hdr.sum_ns

    @property
    def min_ns(self):
        """The exact minimum; 0 if empty."""
        return self.hdr.min_ns if self.hdr.count else 0

    @property
    def max_ns(self):
        """The exact maximum, before clamping; 0 if empty."""
        return self.hdr.max_ns

    @property
    def clamped(self):
        """How many values were above the highest and are counted at the highest."""
        return self.hdr.clamped

    @property
    def mean_ns(self):
        """The exact mean, from the sum; 0.0 if empty."""
        return self.sum_ns / self.count if self.hdr.count else 0.0

    @property
    def stddev_ns(self):
        """The standard deviation of the middles of the buckets; 0.0 if empty."""
        cdef double mean = 0, squares = 0, middle
        cdef int32_t index, first
        if not self.hdr.count:
            return 0.0
        first = hdr_first(&self.hdr)
        for index in range(first, hdr_last(&self.hdr) + 1):
            mean += <double> (hdr_lowest_ns(index) + hdr_width_ns(index) // 2) * self.hdr.counts[index]
        mean /= self.hdr.count
        for index in range(first, hdr_last(&self.hdr) + 1):
            middle = <double> (hdr_lowest_ns(index) + hdr_width_ns(index) // 2)
            squares += (middle - mean) * (middle - mean) * self.hdr.counts[index]
        return sqrt(squares / self.hdr.count)

    def value_at_percentile(self, percentile):
        """The value of rank ceil(percentile / 100 * count), at least 1, as the highest of its bucket."""
        if not 0 <= percentile <= 100:
            raise ValueError(f"percentile is {percentile}, expected 0 to 100")
        if not self.hdr.count:
            raise ValueError("an empty histogram has no percentiles, expected at least one value")
        # As it is written, in whole numbers: 55 % of 100 is rank 55, while the ceiling of 0.55 * 100 is 56.
        exact = Fraction(str(percentile)) * self.count / 100
        cdef uint64_t rank = max(1, -(-exact.numerator // exact.denominator))
        if rank == self.hdr.count:
            return self.hdr.max_ns
        cdef int32_t index = hdr_first(&self.hdr)
        cdef uint64_t seen = self.hdr.counts[index]
        while seen < rank:
            index += 1
            seen += self.hdr.counts[index]
        return max(self.hdr.min_ns, min(self.hdr.max_ns, hdr_highest_ns(index)))

    def count_at_or_below(self, int64_t value_ns):
        """How many values lie in the buckets up to the one that holds the value, that one included."""
        cdef uint64_t seen = 0
        cdef int32_t index
        if value_ns < 0 or not self.hdr.count:
            return 0
        for index in range(hdr_first(&self.hdr), hdr_index(hdr_clamp(value_ns)) + 1):
            seen += self.hdr.counts[index]
        return seen

    def buckets(self):
        """(lowest_ns, highest_ns, count) of each bucket that holds values, ascending."""
        cdef int32_t index
        if not self.hdr.count:
            return []
        return [
            (hdr_lowest_ns(index), hdr_highest_ns(index), self.hdr.counts[index])
            for index in range(hdr_first(&self.hdr), hdr_last(&self.hdr) + 1)
            if self.hdr.counts[index]
        ]

    def __eq__(self, other):
        if not isinstance(other, Histogram):
            return NotImplemented
        return hdr_equal(&self.hdr, &(<Histogram> other).hdr)

    def __repr__(self):
        return f"<Histogram: {self.count} values, {self.min_ns} to {self.max_ns} ns, {self.clamped} clamped>"


def add_encoded_all(list parts not None):
    """Add several encoded histograms, all of them or, with ValueError, none."""
    cdef Py_ssize_t index, length = len(parts)
    cdef size_t room_length = sum([min(len(part[1]), HDR_COUNTS_LENGTH) for part in parts]), used = 0
    cdef HdrPart *taken = <HdrPart *> calloc(max(length, 1), sizeof(HdrPart))
    cdef HdrCount *room = NULL
    cdef dict counts = {}
    cdef Histogram into
    if taken == NULL:
        raise MemoryError
    try:
        room = hdr_borrow_room(room_length)
        for index in range(length):
            into, payload, count, sum_ns, min_ns, max_ns, clamped = parts[index]
            if into is None:
                raise TypeError("a histogram to add to is None")
            hdr_claim(&taken[index].claim, count, sum_ns, min_ns, max_ns, clamped)
            hdr_take_part(&taken[index], payload, room + used)
            used += <size_t> min(len(payload), HDR_COUNTS_LENGTH)
            # The same histogram may be there more than once.
            counts[id(into)] = counts.get(id(into), 0) + taken[index].claim.count
            hdr_check_room(&into.hdr, min(counts[id(into)], <uint64_t> -1))
        for index in range(length):
            into = parts[index][0]
            hdr_add_part(&into.hdr, &taken[index])
    finally:
        free(taken)
        if room != NULL:
            hdr_return_room(room, room_length)
