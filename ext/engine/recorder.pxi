# What a worker measures: histograms, counters and outcomes, twice. The worker writes into one buffer while the other one is
# read, so that a snapshot never stops the loop.

cdef enum:  # anonymous, since they index arrays
    METRIC_LATENCY
    METRIC_SERVICE_TIME
    METRIC_LAG
    METRIC_CONNECT
    METRIC_REQUEST_WRITE
    METRIC_WAIT
    METRIC_READ
    METRIC_LOOP_TURN
    METRIC_GENERATOR_LAG    # lag caused by the generator itself, without the wait for a free connection
    METRIC_WAKE_LATE        # how much later than its deadline a sleeping worker woke up
    METRIC_KERNEL_LATENCY   # from the kernel's timestamp of the last byte sent to that of the last byte received
    METRIC_LOOKUP           # of the target's name; recorded outside of the loop
    METRIC_HANDSHAKE        # of TLS: the share of METRIC_CONNECT that follows TCP's
    METRICS

# In the order of the enum; these names go to the wire.
METRIC_NAMES = (
    "latency", "service_time", "lag", "connect", "request_write", "wait", "read", "loop_turn", "generator_lag", "wake_late",
    "kernel_latency", "lookup", "handshake",
)

cdef enum:
    STATUS_CODES = 1000

# How requests ended. uint64_t only, as in Counters.
cdef struct Outcomes:
    uint64_t responses[STATUS_CODES]
    uint64_t errors[ERROR_KINDS]
    uint64_t bad_responses[HTTP1_REASONS]

# Everything measured of one group of requests.
cdef struct Metrics:
    Hdr histograms[METRICS]
    Counters counters
    Outcomes outcomes

# One response of `-o csv`, as the trace holds it and as it goes to the wire.
cdef struct TraceRow:
    int64_t offset_ns
    int64_t latency_ns
    int64_t connect_ns
    int64_t lookup_ns
    int64_t write_ns
    int64_t wait_ns
    int64_t read_ns
    int32_t status
    int32_t reserved

cdef enum:
    # Addresses of the target in a whole run. The entry behind them counts further addresses and other origins; it is not reported.
    ADDRESSES_AT_MOST = 256

# Connections to one address, and the requests on them. Of the warm-up only connections are counted.
cdef struct AddressCounters:
    uint64_t connections
    uint64_t failures           # connections that could not be opened
    uint64_t responses
    uint64_t errors

# One of the recorder's two buffers.
cdef struct Buffer:
    Metrics all                 # the measured part of the load
    Metrics warmup              # requests of the warm-up, which are in nothing else
    AddressCounters addresses[ADDRESSES_AT_MOST + 1]
    Metrics *breakdowns         # `all` once more by stage and request, if the plan has several of either

cdef struct Recorder:
    Buffer *active              # the worker writes into it
    Buffer *inactive
    uint32_t breakdown_count    # stages times requests; 0: a breakdown would equal the whole
    TraceRow *trace
    uint64_t trace_capacity
    uint64_t trace_length
    uint64_t trace_dropped


# Which metrics a request counts into.
cdef struct MetricsKey:
    bint warm                   # it is intended during the warm-up
    uint32_t breakdown          # its stage and request


cdef int metrics_init(Metrics *metrics, int count) noexcept nogil:
    """Allocate the first `count` histograms; 0, or -1 without memory."""
    cdef int metric
    for metric in range(count):
        if hdr_init(&metrics.histograms[metric]) < 0:
            return -1
    return 0


cdef void metrics_free(Metrics *metrics) noexcept nogil:
    cdef int metric
    for metric in range(METRICS):
        hdr_free(&metrics.histograms[metric])


cdef void metrics_reset(Metrics *metrics) noexcept nogil:
    cdef int metric
    for metric in range(METRICS):
        hdr_reset(&metrics.histograms[metric])
    memset(&metrics.counters, 0, sizeof(Counters))
    memset(&metrics.outcomes, 0, sizeof(Outcomes))


cdef void add_counts(void *into, const void *other, size_t bytes) noexcept nogil:
    """Add structs that hold uint64_t only, field by field."""
    cdef uint64_t *sums = <uint64_t *> into
    cdef const uint64_t *counts = <const uint64_t *> other
    cdef size_t index
    for index in range(bytes // sizeof(uint64_t)):
        sums[index] += counts[index]


cdef bint all_zero(const void *counts, size_t bytes) noexcept nogil:
    """Whether a struct that holds uint64_t only holds no count."""
    cdef size_t index
    for index in range(bytes // sizeof(uint64_t)):
        if (<const uint64_t *> counts)[index] != 0:
            return False
    return True


cdef void metrics_add(Metrics *into, const Metrics *other) noexcept nogil:
    cdef int metric
    for metric in range(METRICS):
        if other.histograms[metric].count > 0:
            hdr_add(&into.histograms[metric], &other.histograms[metric])
    add_counts(&into.counters, &other.counters, sizeof(Counters))
    add_counts(&into.outcomes, &other.outcomes, sizeof(Outcomes))


cdef bint metrics_are_empty(const Metrics *metrics) noexcept nogil:
    return all_zero(&metrics.counters, sizeof(Counters)) and all_zero(&metrics.outcomes, sizeof(Outcomes))


cdef Buffer *buffer_new(uint32_t breakdowns) noexcept nogil:
    """NULL without memory. Pages that nothing touches cost nothing."""
    cdef uint32_t index
    cdef Buffer *buffer = <Buffer *> calloc(1, sizeof(Buffer))
    if buffer == NULL:
        return NULL
    buffer.breakdowns = <Metrics *> calloc(max(breakdowns, 1), sizeof(Metrics))
    if buffer.breakdowns != NULL and metrics_init(&buffer.all, METRICS) == 0 and metrics_init(&buffer.warmup, METRICS) == 0:
        for index in range(breakdowns):
            if metrics_init(&buffer.breakdowns[index], METRIC_SERVICE_TIME + 1) < 0:
                break
        else:
            return buffer
    buffer_free(buffer, breakdowns)
    return NULL


cdef void buffer_free(Buffer *buffer, uint32_t breakdowns) noexcept nogil:
    cdef uint32_t index
    if buffer == NULL:
        return
    metrics_free(&buffer.all)
    metrics_free(&buffer.warmup)
    if buffer.breakdowns != NULL:
        for index in range(breakdowns):
            metrics_free(&buffer.breakdowns[index])
    free(buffer.breakdowns)
    free(buffer)


cdef void buffer_reset(Buffer *buffer, uint32_t breakdowns) noexcept nogil:
    cdef uint32_t index
    metrics_reset(&buffer.all)
    metrics_reset(&buffer.warmup)
    memset(buffer.addresses, 0, sizeof(buffer.addresses))
    for index in range(breakdowns):
        metrics_reset(&buffer.breakdowns[index])


cdef void buffer_add(Buffer *into, const Buffer *other, uint32_t breakdowns) noexcept nogil:
    cdef uint32_t index
    metrics_add(&into.all, &other.all)
    metrics_add(&into.warmup, &other.warmup)
    add_counts(into.addresses, other.addresses, sizeof(into.addresses))
    for index in range(breakdowns):
        metrics_add(&into.breakdowns[index], &other.breakdowns[index])


cdef int recorder_init(Recorder *recorder, uint32_t breakdowns, uint64_t trace_capacity) noexcept nogil:
    """0, or -1 without memory."""
    memset(recorder, 0, sizeof(Recorder))
    recorder.breakdown_count = breakdowns
    recorder.active = buffer_new(breakdowns)
    recorder.inactive = buffer_new(breakdowns)
    if recorder.active == NULL or recorder.inactive == NULL:
        return -1
    if trace_capacity > 0:
        recorder.trace = <TraceRow *> calloc(trace_capacity, sizeof(TraceRow))
        if recorder.trace == NULL:
            return -1
        recorder.trace_capacity = trace_capacity
    return 0


cdef void recorder_free(Recorder *recorder) noexcept nogil:
    buffer_free(recorder.active, recorder.breakdown_count)
    buffer_free(recorder.inactive, recorder.breakdown_count)
    free(recorder.trace)
    memset(recorder, 0, sizeof(Recorder))


cdef inline void recorder_swap(Recorder *recorder) noexcept nogil:
    recorder.active, recorder.inactive = recorder.inactive, recorder.active


cdef void recorder_merge(Recorder *recorder) noexcept nogil:
    """Bring everything into the active buffer, once the worker has ended."""
    buffer_add(recorder.active, recorder.inactive, recorder.breakdown_count)
    buffer_reset(recorder.inactive, recorder.breakdown_count)


cdef inline void recorder_trace(Recorder *recorder, const TraceRow *row) noexcept nogil:
    if recorder.trace_length < recorder.trace_capacity:
        recorder.trace[recorder.trace_length] = row[0]
        recorder.trace_length += 1
    elif recorder.trace_capacity > 0:
        recorder.trace_dropped += 1
