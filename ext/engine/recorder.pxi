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
    METRIC_OWN_LAG          # the part of the lag that is the generator's own: not the wait for a free connection
    METRIC_WAKE_LATE        # a worker that slept until an instant looked again so much later
    METRIC_KERNEL_LATENCY   # between the kernel's own stamps of the last byte sent and the last byte received
    METRIC_LOOKUP           # of the target's name; recorded outside of the loop
    METRIC_HANDSHAKE        # of TLS; the part of METRIC_CONNECT that came after TCP's
    METRICS

# In the order of the metrics; these names go to the wire.
METRIC_NAMES = (
    "latency", "service_time", "lag", "connect", "request_write", "wait", "read", "loop_turn", "generator_lag", "wake_late",
    "kernel_latency", "lookup", "handshake",
)

cdef enum:
    STATUS_CODES = 1000

# Counts only, so that two tallies are added as arrays of uint64_t.
cdef struct Tally:
    uint64_t responses[STATUS_CODES]
    uint64_t errors[ERROR_KINDS]
    uint64_t bad_responses[HTTP1_REASONS]
    uint64_t sent
    uint64_t abandoned
    uint64_t dropped             # not sent: the generator itself was too late for them
    uint64_t connections_opened
    uint64_t handshakes_full    # of TLS
    uint64_t handshakes_resumed
    uint64_t retries         # times that a request was sent once more, as the server had not looked at it
    uint64_t redirects          # followed
    uint64_t goaways            # connections that a server wanted no more requests on (HTTP/2)
    uint64_t unsolicited_responses            # connections dropped because the peer sent what nobody had asked for
    uint64_t bytes_sent
    uint64_t bytes_received
    uint64_t body_bytes
    uint64_t decoded_bytes      # the same when decoded, where it is

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

cdef enum:
    # Addresses of the target in the whole run. What is beyond, or of other origins, is counted behind them, and not told.
    ADDRESSES_AT_MOST = 256

# What became of connections to one address, and of requests on them; the warm-up is only in the connections.
cdef struct AddressTally:
    uint64_t connections
    uint64_t failures           # connections that were not opened
    uint64_t responses
    uint64_t errors

# Where the worker writes, or what is being read: everything; the warm-up, which is in nothing else; and, where a plan has
# several stages or requests, everything once more by stage and request.
cdef struct Side:
    Bank all
    Bank warmup
    AddressTally addresses[ADDRESSES_AT_MOST + 1]
    Bank *parts

cdef struct Recorder:
    Side *active
    Side *inactive
    uint32_t part_count
    TraceRow *trace
    uint64_t trace_capacity
    uint64_t trace_length
    uint64_t trace_dropped


cdef int bank_init(Bank *bank, int metrics) noexcept nogil:
    """Room for the first so many metrics; 0, or -1 without memory."""
    cdef int metric
    for metric in range(metrics):
        if hdr_init(&bank.metrics[metric]) < 0:
            return -1
    return 0


cdef Side *side_make(uint32_t parts) noexcept nogil:
    """NULL without memory. Pages that nothing touches cost nothing."""
    cdef uint32_t part
    cdef Side *side = <Side *> calloc(1, sizeof(Side))
    if side == NULL:
        return NULL
    side.parts = <Bank *> calloc(max(parts, 1), sizeof(Bank))
    if side.parts != NULL and bank_init(&side.all, METRICS) == 0 and bank_init(&side.warmup, METRICS) == 0:
        for part in range(parts):
            if bank_init(&side.parts[part], METRIC_SERVICE_TIME + 1) < 0:
                break
        else:
            return side
    side_free(side, parts)
    return NULL


cdef void bank_free(Bank *bank) noexcept nogil:
    cdef int metric
    for metric in range(METRICS):
        hdr_free(&bank.metrics[metric])


cdef void side_free(Side *side, uint32_t parts) noexcept nogil:
    cdef uint32_t part
    if side == NULL:
        return
    bank_free(&side.all)
    bank_free(&side.warmup)
    if side.parts != NULL:
        for part in range(parts):
            bank_free(&side.parts[part])
    free(side.parts)
    free(side)


cdef int recorder_init(Recorder *recorder, uint32_t parts, uint64_t trace_capacity) noexcept nogil:
    """0, or -1 without memory. `parts`: stages times requests; 0 where a part would be the whole."""
    memset(recorder, 0, sizeof(Recorder))
    recorder.part_count = parts
    recorder.active = side_make(parts)
    recorder.inactive = side_make(parts)
    if recorder.active == NULL or recorder.inactive == NULL:
        return -1
    if trace_capacity > 0:
        recorder.trace = <TraceRow *> calloc(trace_capacity, sizeof(TraceRow))
        if recorder.trace == NULL:
            return -1
        recorder.trace_capacity = trace_capacity
    return 0


cdef void recorder_free(Recorder *recorder) noexcept nogil:
    side_free(recorder.active, recorder.part_count)
    side_free(recorder.inactive, recorder.part_count)
    free(recorder.trace)
    memset(recorder, 0, sizeof(Recorder))


cdef inline void recorder_swap(Recorder *recorder) noexcept nogil:
    cdef Side *side = recorder.active
    recorder.active = recorder.inactive
    recorder.inactive = side


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
        if other.metrics[metric].count > 0:
            hdr_add(&into.metrics[metric], &other.metrics[metric])
    for index in range(sizeof(Tally) // sizeof(uint64_t)):
        counts[index] += more[index]


cdef void side_reset(Side *side, uint32_t parts) noexcept nogil:
    cdef uint32_t part
    bank_reset(&side.all)
    bank_reset(&side.warmup)
    memset(side.addresses, 0, sizeof(side.addresses))
    for part in range(parts):
        bank_reset(&side.parts[part])


cdef void side_add(Side *into, const Side *other, uint32_t parts) noexcept nogil:
    cdef uint32_t part, address
    bank_add(&into.all, &other.all)
    bank_add(&into.warmup, &other.warmup)
    for address in range(ADDRESSES_AT_MOST + 1):
        into.addresses[address].connections += other.addresses[address].connections
        into.addresses[address].failures += other.addresses[address].failures
        into.addresses[address].responses += other.addresses[address].responses
        into.addresses[address].errors += other.addresses[address].errors
    for part in range(parts):
        bank_add(&into.parts[part], &other.parts[part])


cdef inline void recorder_trace(Recorder *recorder, const TraceRow *row) noexcept nogil:
    if recorder.trace_length < recorder.trace_capacity:
        recorder.trace[recorder.trace_length] = row[0]
        recorder.trace_length += 1
    elif recorder.trace_capacity > 0:
        recorder.trace_dropped += 1
