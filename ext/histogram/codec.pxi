# HdrHistogram's V2 encoding, not compressed: what its Java library writes with encodeIntoByteBuffer
# (AbstractHistogram), and wraps in zlib for its compressed form. A header of 40 bytes, big-endian, then the counts
# from index 0 to the last in use, each zigzag-mapped and written as LEB128; the ninth byte of a number holds 8
# bits, so that 64 bits fit (ZigZagLEB128Codec). A negative number -n stands for n counts of zero. A lone zero may be
# written as 0 or as -1: the C library and the `hdrhistogram` package write -1, as heyfleet does, and both are read.

from struct import Struct

from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize, PyBytes_Size
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef enum:
    HDR_HEADER_BYTES = 40
    HDR_VARINT_BYTES = 9

cdef object HDR_HEADER = Struct(">IIIIQQd")
cdef tuple HDR_HEADER_FIELDS = (
    "cookie",
    "length",
    "normalizing index offset",
    "number of significant digits",
    "lowest discernible value",
    "highest trackable value",
    "conversion ratio",
)

cdef enum HdrFault:
    HDR_OK
    HDR_TRUNCATED
    HDR_OVERLONG
    HDR_BEYOND
    HDR_OVERFLOW

# In the order of HdrFault.
cdef tuple HDR_FAULTS = (
    "",
    "ends in the middle of a number",
    "has a number in more bytes than it needs, expected the shortest form",
    f"has counts beyond the highest trackable value, expected none from index {HDR_USED_LENGTH} on",
    "has counts whose sum is above 2**63 - 1, expected at most that",
)

cdef struct HdrReader:
    const uint8_t *at
    const uint8_t *end
    int32_t index               # of the count that comes next

# One count of a payload that is not 0.
cdef struct HdrCount:
    int32_t index
    uint64_t count

cdef struct HdrFacts:
    # Facts that follow from the counts of a payload.
    uint64_t count
    int32_t used                # how many counts are not 0
    uint64_t count_last
    int32_t first               # indexes in use; undefined if count is 0
    int32_t last
    uint128_t sum_lowest_ns     # the sum of the values lies between these
    uint128_t sum_highest_ns


cdef inline uint8_t *put_varint(uint8_t *at, uint64_t value) noexcept nogil:
    cdef int length = 1
    while value >= 0x80 and length < HDR_VARINT_BYTES:
        at[0] = <uint8_t> (value | 0x80)
        at += 1
        value >>= 7
        length += 1
    at[0] = <uint8_t> value
    return at + 1


cdef inline uint8_t *put_zeros(uint8_t *at, int32_t zeros) noexcept nogil:
    return put_varint(at, 2 * <uint64_t> zeros - 1) if zeros else at


cdef uint8_t *put_counts(uint8_t *at, const Hdr *h) noexcept nogil:
    cdef int32_t index, zeros = hdr_first(h)
    for index in range(zeros, hdr_last(h) + 1):
        if h.counts[index] == 0:
            zeros += 1
            continue
        at = put_zeros(at, zeros)
        at = put_varint(at, 2 * h.counts[index])
        zeros = 0
    return at


cdef tuple hdr_header_values(uint64_t length):
    """Write the header for `length` bytes of counts. No other one is accepted."""
    # The last digit but one of the cookie is the size of a word in older versions; V2 has 1 there.
    return 0x1c849313, length, 0, HDR_DIGITS, HDR_LOWEST_NS, <int64_t> HDR_HIGHEST_NS, 1.0


cdef bytes hdr_encode(const Hdr *h):
    """Encode as V2. Counts must not be above 2^63 - 1."""
    cdef size_t room = HDR_HEADER_BYTES + HDR_VARINT_BYTES * <size_t> (hdr_last(h) + 1)
    cdef uint8_t *start = <uint8_t *> malloc(room)
    if start == NULL:
        raise MemoryError
    cdef uint8_t *at = start + HDR_HEADER_BYTES
    if h.count:
        at = put_counts(at, h)
    try:
        header = HDR_HEADER.pack(*hdr_header_values(at - start - HDR_HEADER_BYTES))
        memcpy(start, PyBytes_AsString(header), HDR_HEADER_BYTES)
        return PyBytes_FromStringAndSize(<char *> start, at - start)
    finally:
        free(start)


cdef int hdr_check_header(bytes payload) except -1:
    if len(payload) < HDR_HEADER_BYTES:
        raise ValueError(f"histogram payload has {len(payload)} bytes, expected at least {HDR_HEADER_BYTES}")
    expected = hdr_header_values(len(payload) - HDR_HEADER_BYTES)
    for name, value, expected_value in zip(HDR_HEADER_FIELDS, HDR_HEADER.unpack_from(payload), expected, strict=True):
        if value != expected_value:
            show = hex if name == "cookie" else str
            raise ValueError(f"histogram payload has {name} {show(value)}, expected {show(expected_value)}")
    return 0


cdef inline HdrFault take_varint(HdrReader *reader, uint64_t *value) noexcept nogil:
    cdef uint64_t byte
    cdef int shift = 0
    if reader.at == reader.end:
        return HDR_TRUNCATED
    byte = value[0] = reader.at[0]
    reader.at += 1
    while byte >= 0x80 and shift < 7 * (HDR_VARINT_BYTES - 1):
        if reader.at == reader.end:
            return HDR_TRUNCATED
        byte = reader.at[0]
        reader.at += 1
        # Remove the continuation bit of the previous byte.
        shift += 7
        value[0] += (byte - 1) << shift
    return HDR_OVERLONG if byte == 0 and shift else HDR_OK


cdef inline HdrFault take_count(HdrReader *reader, int32_t *index, uint64_t *count) noexcept nogil:
    """Read the next number: a count and its index, or a count of 0 for a run of zeros."""
    cdef uint64_t number, zeros
    cdef HdrFault fault = take_varint(reader, &number)
    if fault:
        return fault
    if number & 1:
        zeros = (number >> 1) + 1
        if zeros > <uint64_t> (HDR_COUNTS_LENGTH - reader.index):
            return HDR_BEYOND
        reader.index += <int32_t> zeros
        count[0] = 0
        return HDR_OK
    if reader.index == HDR_COUNTS_LENGTH:
        return HDR_BEYOND
    index[0] = reader.index
    count[0] = number >> 1
    reader.index += 1
    return HDR_OK


# Sums over the counts of one bucket of buckets, in which all widths are the same.
cdef struct HdrSums:
    int32_t end                 # the first index beyond it
    int32_t base                # what to take from an index
    int shift                   # and how far to shift the rest, for the lowest value
    uint128_t counts
    uint128_t products          # of a count and its index less the base


cdef void hdr_flush_sums(HdrSums *sums, HdrFacts *facts) noexcept nogil:
    """Add the sums to the bounds of all values, and reset them."""
    cdef uint128_t lowest_ns = sums.products << sums.shift
    facts.sum_lowest_ns += lowest_ns
    facts.sum_highest_ns += lowest_ns + sums.counts * ((<uint64_t> 1 << sums.shift) - 1)
    sums.counts = sums.products = 0


cdef inline void hdr_sums_of(HdrSums *sums, int32_t index) noexcept nogil:
    """Prepare for the indexes around this one."""
    cdef int bucket = hdr_bucket(index)
    sums.base = bucket << HDR_HALF_BITS
    sums.end = (bucket + 2) << HDR_HALF_BITS
    sums.shift = HDR_UNIT_BITS + bucket


cdef HdrFault hdr_survey(HdrReader reader, HdrFacts *facts, HdrCount *found) noexcept nogil:
    """Decode a payload into `found`, which has room for a count each byte. `facts` are valid if HDR_OK is returned."""
    cdef HdrFault fault
    cdef int32_t index = 0, used = 0
    cdef uint64_t count = 0
    # 27,648 counts below 2^63, of values below 2^42: 128 bits hold their sums.
    cdef uint128_t total = 0
    cdef HdrSums sums
    sums.counts = sums.products = 0
    hdr_sums_of(&sums, 0)
    facts.sum_lowest_ns = facts.sum_highest_ns = 0
    while reader.at != reader.end:
        fault = take_count(&reader, &index, &count)
        if fault:
            return fault
        if count == 0:
            continue
        if index >= sums.end:
            total += sums.counts
            hdr_flush_sums(&sums, facts)
            hdr_sums_of(&sums, index)
        sums.counts += count
        sums.products += <uint128_t> count * <uint32_t> (index - sums.base)
        found[used].index = index
        found[used].count = count
        used += 1
    total += sums.counts
    hdr_flush_sums(&sums, facts)
    facts.used = used
    facts.first = found[0].index if used else 0
    facts.last = found[used - 1].index if used else 0
    facts.count_last = found[used - 1].count if used else 0
    if facts.last >= HDR_USED_LENGTH:
        return HDR_BEYOND
    if total > <uint64_t> INT64_MAX:
        return HDR_OVERFLOW
    facts.count = <uint64_t> total
    return HDR_OK


cdef int hdr_check_index(str name, int64_t value_ns, int32_t index) except -1:
    if hdr_index(hdr_clamp(value_ns)) != index:
        raise ValueError(
            f"histogram has {name} {value_ns}, expected one that is counted between"
            f" {hdr_lowest_ns(index)} and {hdr_highest_ns(index)}"
        )
    return 0


cdef int hdr_check_extremes(const Hdr *claim, const HdrFacts *facts) except -1:
    hdr_check_index("min_ns", claim.min_ns, facts.first)
    hdr_check_index("max_ns", claim.max_ns, facts.last)
    if claim.min_ns > claim.max_ns:
        raise ValueError(f"histogram has min_ns {claim.min_ns}, expected at most its max_ns {claim.max_ns}")
    return 0


cdef int hdr_check_clamped(const Hdr *claim, const HdrFacts *facts) except -1:
    cdef uint64_t least = 0, most = 0
    if claim.max_ns > <int64_t> HDR_HIGHEST_NS:
        least, most = 1, facts.count_last
    if claim.min_ns > <int64_t> HDR_HIGHEST_NS:
        least = facts.count
    if not least <= claim.clamped <= most:
        raise ValueError(f"histogram has clamped {claim.clamped}, expected {least} to {most}")
    return 0


cdef int hdr_check_sum(const Hdr *claim, const HdrFacts *facts) except -1:
    cdef uint128_t lowest = facts.sum_lowest_ns, highest = facts.sum_highest_ns
    if claim.clamped:
        # Each of these values is above the highest, and at most the maximum.
        lowest += <uint128_t> (<int64_t> HDR_HIGHEST_NS + 1 - hdr_lowest_ns(facts.last)) * claim.clamped
        highest += <uint128_t> (claim.max_ns - <int64_t> HDR_HIGHEST_NS) * claim.clamped
    # A sum stops at 2^64 - 1, so do its bounds.
    cdef uint64_t least = <uint64_t> lowest if lowest >> 64 == 0 else <uint64_t> -1
    cdef uint64_t most = <uint64_t> highest if highest >> 64 == 0 else <uint64_t> -1
    if not least <= claim.sum_ns <= most:
        raise ValueError(f"histogram has sum_ns {claim.sum_ns}, expected {least} to {most} by its counts")
    return 0


cdef int hdr_check_claim(const Hdr *claim, const HdrFacts *facts) except -1:
    """Check that the totals sent beside a payload are possible for its counts."""
    if claim.count != facts.count:
        raise ValueError(f"histogram has count {claim.count}, expected {facts.count} as in its payload")
    if facts.count == 0:
        if claim.sum_ns or claim.min_ns or claim.max_ns or claim.clamped:
            raise ValueError("histogram is empty, expected sum_ns, min_ns, max_ns and clamped to be 0")
        return 0
    hdr_check_extremes(claim, facts)
    hdr_check_clamped(claim, facts)
    return hdr_check_sum(claim, facts)


cdef int hdr_check_room(const Hdr *into, uint64_t count) except -1:
    """Check that counts stay below 2^63, since the encoding maps them to signed 64 bits."""
    if count > <uint64_t> INT64_MAX - into.count:
        raise ValueError(f"histogram would count {into.count} + {count} values, expected at most 2**63 - 1")
    return 0


# Room for decoded counts, reused between calls: new memory of that size costs more than the decoding.
cdef HdrCount *hdr_room = NULL
cdef size_t hdr_room_length = 0


cdef HdrCount *hdr_borrow_room(size_t length) except NULL:
    """Borrow room for `count` counts, until hdr_return_room."""
    global hdr_room
    cdef HdrCount *room = hdr_room
    hdr_room = NULL
    if room == NULL or hdr_room_length < length:
        free(room)
        room = <HdrCount *> malloc((length + 1) * sizeof(HdrCount))
        if room == NULL:
            raise MemoryError
    return room


cdef void hdr_return_room(HdrCount *room, size_t length) noexcept:
    global hdr_room, hdr_room_length
    if hdr_room == NULL:
        hdr_room, hdr_room_length = room, length
    else:
        free(room)


# A decoded histogram that has passed its checks.
cdef struct HdrPart:
    Hdr claim                   # its totals, without counts
    HdrCount *counts
    int32_t used


cdef int hdr_take_part(HdrPart *part, bytes payload, HdrCount *room) except -1:
    """Decode a payload into `room`, which has a place for each of its bytes, and check it. Raises ValueError."""
    cdef HdrFacts facts
    cdef HdrReader reader
    cdef HdrFault fault
    hdr_check_header(payload)
    reader.at = <const uint8_t *> PyBytes_AsString(payload) + HDR_HEADER_BYTES
    reader.end = reader.at + PyBytes_Size(payload) - HDR_HEADER_BYTES
    reader.index = 0
    part.counts = room
    fault = hdr_survey(reader, &facts, room)
    if fault:
        raise ValueError(f"histogram payload {HDR_FAULTS[<int> fault]}")
    part.used = facts.used
    hdr_check_claim(&part.claim, &facts)
    return 0


cdef void hdr_add_part(Hdr *into, const HdrPart *part) noexcept nogil:
    """Add a histogram that has passed hdr_take_part and hdr_check_room."""
    cdef int32_t at
    if part.claim.count:
        for at in range(part.used):
            into.counts[part.counts[at].index] += part.counts[at].count
        hdr_add_totals(into, &part.claim)
