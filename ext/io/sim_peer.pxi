# What the peers of the simulated network do: one description for each port.

from heyfleet.ext.c_posix cimport ECONNREFUSED, ENETUNREACH, ETIMEDOUT

cdef enum:
    # The last bytes of a request are kept in one 64-bit word, to find its end.
    SIM_REQUEST_END_MAX_BYTES = 8

cdef enum SimKind:
    SIM_ANSWER
    SIM_ECHO
    SIM_CLOSE
    SIM_HALF_CLOSE
    SIM_RESET
    SIM_SILENT
    SIM_REFUSE
    SIM_UNREACHABLE
    SIM_BLACKHOLE

cdef struct SimBehaviour:
    SimKind kind
    const uint8_t *response
    size_t response_bytes
    uint64_t request_end
    uint64_t request_end_mask
    size_t request_bytes  # The length of the end mark or, without one, of the whole request.
    int64_t delay_ns
    int64_t jitter_ns
    int64_t connect_delay_ns
    int64_t send_delay_ns
    int64_t bandwidth_bytes_per_s
    size_t split_bytes
    double reset_probability
    double close_probability
    double stall_probability
    uint32_t requests_per_connection


cdef int sim_connect_error(SimKind kind) noexcept nogil:
    if kind == SIM_REFUSE:
        return ECONNREFUSED
    if kind == SIM_UNREACHABLE:
        return ENETUNREACH
    if kind == SIM_BLACKHOLE:
        return ETIMEDOUT
    return 0


cdef int64_t sim_transfer_ns(const SimBehaviour *peer, size_t length) noexcept nogil:
    if peer.bandwidth_bytes_per_s == 0:
        return 0
    return <int64_t> (<double> length / <double> peer.bandwidth_bytes_per_s * NS_PER_S)


_SIM_KINDS = {
    "answer": SIM_ANSWER,
    "echo": SIM_ECHO,
    "close": SIM_CLOSE,
    "half_close": SIM_HALF_CLOSE,
    "reset": SIM_RESET,
    "silent": SIM_SILENT,
    "refuse": SIM_REFUSE,
    "unreachable": SIM_UNREACHABLE,
    "blackhole": SIM_BLACKHOLE,
}


@final
cdef class SimPeer:
    """One peer of the simulated network.

    What each kind does once connected:
    answer       `response` for each complete request, in order
    echo         every byte back
    close        `response`, if any, then the end of the stream; what comes later is lost
    half_close   the same, but it goes on reading
    reset        a reset at the first bytes
    silent       reads, and says nothing
    The others do not connect: `refuse` and `unreachable` fail at once, `blackhole` after 127 s, as Linux does.

    A request ends with the bytes `request_end` or, when `request_bytes` is not 0, with each such number of bytes.
    A connect takes `connect_delay_ns`, a send `send_delay_ns` and its length at the bandwidth (0: no limit), an answer
    `delay_ns`; to the first and the last comes an even share of `jitter_ns`. With `split_bytes` bytes come in random
    pieces of at most that many. The probabilities are an answer's: of a reset or an end of the stream before its last
    byte, or of never coming. After `requests_per_connection` answers (0: no limit) the peer closes.
    """

    cdef SimBehaviour behaviour
    cdef bytes response

    def __init__(
        self, str kind, *, bytes response=b"", bytes request_end=b"\r\n\r\n", size_t request_bytes=0, int64_t delay_ns=0,
        int64_t jitter_ns=0, int64_t connect_delay_ns=0, int64_t send_delay_ns=0, int64_t bandwidth_bytes_per_s=0,
        size_t split_bytes=0, double reset_probability=0.0, double close_probability=0.0, double stall_probability=0.0,
        uint32_t requests_per_connection=0,
    ):
        cdef SimBehaviour *to = &self.behaviour
        if kind not in _SIM_KINDS:
            raise ValueError(f"kind {kind!r} is none of {', '.join(_SIM_KINDS)}")
        if kind == "answer" and not response:
            raise ValueError("an answer needs a response")
        if request_bytes == 0 and not 1 <= len(request_end) <= SIM_REQUEST_END_MAX_BYTES:
            raise ValueError(f"request_end must have 1 to {SIM_REQUEST_END_MAX_BYTES} bytes")
        if min(delay_ns, jitter_ns, connect_delay_ns, send_delay_ns, bandwidth_bytes_per_s) < 0:
            raise ValueError("a delay or bandwidth is negative")
        self.response = response
        to.kind = _SIM_KINDS[kind]
        to.response = response
        to.response_bytes = <size_t> len(response)
        if request_bytes == 0:
            to.request_bytes = <size_t> len(request_end)
            to.request_end = int.from_bytes(request_end, "big")
            to.request_end_mask = ~<uint64_t> 0 >> (64 - 8 * len(request_end))
        else:
            to.request_bytes = request_bytes
            to.request_end = to.request_end_mask = 0
        to.delay_ns = delay_ns
        to.jitter_ns = jitter_ns
        to.connect_delay_ns = connect_delay_ns
        to.send_delay_ns = send_delay_ns
        to.bandwidth_bytes_per_s = bandwidth_bytes_per_s
        to.split_bytes = split_bytes
        to.reset_probability = reset_probability
        to.close_probability = close_probability
        to.stall_probability = stall_probability
        to.requests_per_connection = requests_per_connection
