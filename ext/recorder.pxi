# What a worker measures. Two banks: the worker writes one while the other is read, so that a snapshot never stops the loop.

cdef enum:  # metrics; anonymous, since they index arrays
    METRIC_LATENCY
    METRIC_SERVICE_TIME
    METRIC_LAG
    METRIC_CONNECT
    METRIC_REQUEST_WRITE
    METRIC_WAIT
    METRIC_READ
    METRIC_LOOP_TURN
    METRICS

# In the order of the metrics; these names go to the wire.
METRIC_NAMES = ("latency", "service_time", "lag", "connect", "request_write", "wait", "read", "loop_turn")

cdef enum:
    STATUS_CODES = 1000

# Counts only, so that two tallies are added as arrays of uint64_t.
cdef struct Tally:
    uint64_t responses[STATUS_CODES]
    uint64_t errors[ERROR_KINDS]
    uint64_t bad_responses[HTTP1_REASONS]
    uint64_t sent
    uint64_t abandoned
    uint64_t connections_opened
    uint64_t unasked            # connections dropped because the peer sent what nobody had asked for
    uint64_t bytes_sent
    uint64_t bytes_received
    uint64_t body_bytes

cdef struct Bank:
    Hdr metrics[METRICS]
    Tally tally

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

cdef struct Recorder:
    Bank *active
    Bank *inactive
    TraceRow *trace
    uint64_t trace_capacity
    uint64_t trace_length
    uint64_t trace_dropped


cdef int recorder_init(Recorder *recorder, uint64_t trace_capacity) noexcept nogil:
    """0, or -1 without memory. Untouched pages of the banks and of the trace cost nothing."""
    cdef int metric
    memset(recorder, 0, sizeof(Recorder))
    recorder.active = <Bank *> calloc(1, sizeof(Bank))
    recorder.inactive = <Bank *> calloc(1, sizeof(Bank))
    if recorder.active == NULL or recorder.inactive == NULL:
        return -1
    for metric in range(METRICS):
        if hdr_init(&recorder.active.metrics[metric]) < 0 or hdr_init(&recorder.inactive.metrics[metric]) < 0:
            return -1
    if trace_capacity > 0:
        recorder.trace = <TraceRow *> calloc(trace_capacity, sizeof(TraceRow))
        if recorder.trace == NULL:
            return -1
        recorder.trace_capacity = trace_capacity
    return 0


cdef void bank_free(Bank *bank) noexcept nogil:
    cdef int metric
    if bank != NULL:
        for metric in range(METRICS):
            hdr_free(&bank.metrics[metric])
        free(bank)


cdef void recorder_free(Recorder *recorder) noexcept nogil:
    bank_free(recorder.active)
    bank_free(recorder.inactive)
    free(recorder.trace)
    memset(recorder, 0, sizeof(Recorder))


cdef inline void recorder_swap(Recorder *recorder) noexcept nogil:
    cdef Bank *bank = recorder.active
    recorder.active = recorder.inactive
    recorder.inactive = bank


cdef void bank_reset(Bank *bank) noexcept nogil:
    cdef int metric
    for metric in range(METRICS):
        hdr_reset(&bank.metrics[metric])
    memset(&bank.tally, 0, sizeof(Tally))


cdef void bank_add(Bank *into, const Bank *other) noexcept nogil:
    cdef uint64_t *counts = <uint64_t *> &into.tally
    cdef const uint64_t *more = <const uint64_t *> &other.tally
    cdef size_t index
    cdef int metric
    for metric in range(METRICS):
        hdr_add(&into.metrics[metric], &other.metrics[metric])
    for index in range(sizeof(Tally) // sizeof(uint64_t)):
        counts[index] += more[index]


cdef inline void recorder_trace(Recorder *recorder, const TraceRow *row) noexcept nogil:
    if recorder.trace_length < recorder.trace_capacity:
        recorder.trace[recorder.trace_length] = row[0]
        recorder.trace_length += 1
    elif recorder.trace_capacity > 0:
        recorder.trace_dropped += 1
