# What one worker measured, as Python sees it.


@final
cdef class EngineSnapshot:
    """Everything one worker measured since its last snapshot. Histograms are in nanoseconds."""

    cdef readonly dict counters             # by name of COUNTER_NAMES
    cdef readonly dict histograms           # by name of METRIC_NAMES, without empty ones
    cdef readonly dict responses            # by status code
    cdef readonly dict errors               # by kind
    cdef readonly EngineSnapshot warmup     # None: nothing was sent in the warm-up
    cdef readonly dict addresses            # (connections, failures, responses, errors) by address of the target
    cdef readonly dict breakdowns           # by (stage, request), if there are several of either


cdef EngineSnapshot snapshot_of_buffer(const Buffer *buffer, uint32_t breakdowns, uint32_t requests, list address_names):
    """Copy a buffer; `requests` is the number of requests of each stage in its breakdowns."""
    cdef EngineSnapshot snapshot = snapshot_of_metrics(&buffer.all)
    cdef const AddressCounters *counters
    cdef uint32_t index
    if not metrics_are_empty(&buffer.warmup):
        snapshot.warmup = snapshot_of_metrics(&buffer.warmup)
    snapshot.breakdowns = {
        (index // requests, index % requests): snapshot_of_metrics(&buffer.breakdowns[index])
        for index in range(breakdowns) if not metrics_are_empty(&buffer.breakdowns[index])
    }
    snapshot.addresses = {}
    for index in range(<uint32_t> len(address_names)):
        counters = &buffer.addresses[index]
        if not all_zero(counters, sizeof(AddressCounters)):
            snapshot.addresses[address_names[index]] = (
                counters.connections, counters.failures, counters.responses, counters.errors
            )
    return snapshot


cdef EngineSnapshot snapshot_of_metrics(const Metrics *metrics):
    cdef EngineSnapshot snapshot = EngineSnapshot.__new__(EngineSnapshot)
    cdef const Outcomes *outcomes = &metrics.outcomes
    cdef const uint64_t *counters = <const uint64_t *> &metrics.counters
    cdef size_t index
    snapshot.counters = {name: counters[index] for index, name in enumerate(COUNTER_NAMES)}
    snapshot.histograms = {
        name: Histogram.from_hdr(&metrics.histograms[metric])
        for metric, name in enumerate(METRIC_NAMES) if metrics.histograms[metric].count > 0
    }
    snapshot.responses = {
        status: outcomes.responses[status] for status in range(STATUS_CODES) if outcomes.responses[status]
    }
    snapshot.errors = {
        name: outcomes.errors[kind]
        for kind, name in enumerate(ERROR_NAMES) if kind != ERROR_BAD_RESPONSE and outcomes.errors[kind]
    }
    for reason, name in enumerate(HTTP1_REASON_NAMES):
        if outcomes.bad_responses[reason]:
            snapshot.errors[f"{ERROR_NAMES[ERROR_BAD_RESPONSE]}: {name}"] = outcomes.bad_responses[reason]
    return snapshot
