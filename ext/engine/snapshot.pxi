# What one worker measured, as Python sees it.


@final
cdef class EngineSnapshot:
    """All that one worker measured since its last snapshot. Histograms by metric, in nanoseconds; the rest are counts."""

    cdef readonly dict histograms
    cdef readonly dict responses
    cdef readonly dict errors
    cdef readonly uint64_t sent
    cdef readonly uint64_t abandoned
    cdef readonly uint64_t dropped
    cdef readonly uint64_t connections_opened
    cdef readonly uint64_t handshakes_full
    cdef readonly uint64_t handshakes_resumed
    cdef readonly uint64_t retries
    cdef readonly uint64_t goaways
    cdef readonly uint64_t redirects
    cdef readonly uint64_t unsolicited_responses
    cdef readonly uint64_t bytes_sent
    cdef readonly uint64_t bytes_received
    cdef readonly uint64_t body_bytes
    cdef readonly uint64_t decoded_bytes
    cdef readonly EngineSnapshot warmup     # None: nothing in it
    cdef readonly dict addresses            # (connections, not opened, responses, errors) by the target's addresses
    cdef readonly dict parts                # by (stage, request), where there are several of either


cdef EngineSnapshot snapshot_of_side(const Side *side, uint32_t part_count, uint32_t messages):
    cdef EngineSnapshot snapshot = snapshot_of_bank(&side.all)
    cdef uint32_t part
    if not bank_is_empty(&side.warmup):
        snapshot.warmup = snapshot_of_bank(&side.warmup)
    snapshot.parts = {
        (part // messages, part % messages): snapshot_of_bank(&side.parts[part])
        for part in range(part_count) if not bank_is_empty(&side.parts[part])
    }
    return snapshot


cdef bint bank_is_empty(const Bank *bank) noexcept nogil:
    cdef const uint64_t *counts = <const uint64_t *> &bank.tally
    cdef size_t index
    for index in range(sizeof(Tally) // sizeof(uint64_t)):
        if counts[index] != 0:
            return False
    return True


cdef EngineSnapshot snapshot_of_bank(const Bank *bank):
    cdef EngineSnapshot snapshot = EngineSnapshot.__new__(EngineSnapshot)
    snapshot.histograms = {
        name: Histogram.from_hdr(&bank.metrics[metric])
        for metric, name in enumerate(METRIC_NAMES) if bank.metrics[metric].count > 0
    }
    snapshot.responses = {status: bank.tally.responses[status] for status in range(STATUS_CODES) if bank.tally.responses[status]}
    snapshot.errors = {
        name: bank.tally.errors[kind]
        for kind, name in enumerate(ERROR_NAMES) if kind != ERROR_BAD_RESPONSE and bank.tally.errors[kind]
    }
    for reason, name in enumerate(HTTP1_REASON_NAMES):
        if bank.tally.bad_responses[reason]:
            snapshot.errors[f"{ERROR_NAMES[ERROR_BAD_RESPONSE]}: {name}"] = bank.tally.bad_responses[reason]
    snapshot.sent = bank.tally.sent
    snapshot.abandoned = bank.tally.abandoned
    snapshot.dropped = bank.tally.dropped
    snapshot.connections_opened = bank.tally.connections_opened
    snapshot.handshakes_full = bank.tally.handshakes_full
    snapshot.handshakes_resumed = bank.tally.handshakes_resumed
    snapshot.retries = bank.tally.retries
    snapshot.redirects = bank.tally.redirects
    snapshot.goaways = bank.tally.goaways
    snapshot.unsolicited_responses = bank.tally.unsolicited_responses
    snapshot.bytes_sent = bank.tally.bytes_sent
    snapshot.bytes_received = bank.tally.bytes_received
    snapshot.body_bytes = bank.tally.body_bytes
    snapshot.decoded_bytes = bank.tally.decoded_bytes
    return snapshot
