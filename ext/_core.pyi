"""Typed face of the native engine."""

from typing import Literal, NamedTuple, final

ERROR_NAMES: tuple[str, ...]

class Io:
    """What every backend does: connect, send and receive, as completions."""

@final
class EpollIo(Io):
    """The epoll backend. With `milliseconds` it waits as on a kernel before 5.11, which knows no finer timeout."""

    def __init__(self, *, milliseconds: bool = False) -> None: ...

@final
class UringIo(Io):
    """The io_uring backend."""

@final
class SimPeer:
    """One peer of the simulated network.

    What each kind does once connected: `answer` sends `response` for each complete request, in order; `echo` sends every
    byte back; `close` sends `response`, if any, then ends the stream, and what comes later is lost; `half_close` does the
    same, but reads on; `reset` resets at the first bytes; `silent` reads, and says nothing. The others do not connect:
    `refuse` and `unreachable` fail at once, `blackhole` after 127 s, as Linux does.

    A request ends with the bytes `request_end` (at most 8) or, when `request_bytes` is not 0, with each such number of
    bytes. A connect takes `connect_delay_ns`, a send `send_delay_ns` and its length at the bandwidth (0: no limit), an
    answer `delay_ns`; to the first and the last comes an even share of `jitter_ns`. With `split_bytes` bytes come in random
    pieces of at most that many. The probabilities are an answer's: of a reset or an end of the stream before its last
    byte, or of never coming. After `requests_per_connection` answers (0: no limit) the peer closes. ValueError for what
    makes no sense.
    """

    def __init__(
        self,
        kind: Literal[
            "answer", "echo", "close", "half_close", "reset", "silent", "refuse", "unreachable", "blackhole"
        ],
        *,
        response: bytes = b"",
        request_end: bytes = b"\r\n\r\n",
        request_bytes: int = 0,
        delay_ns: int = 0,
        jitter_ns: int = 0,
        connect_delay_ns: int = 0,
        send_delay_ns: int = 0,
        bandwidth_bytes_per_s: int = 0,
        split_bytes: int = 0,
        reset_probability: float = 0.0,
        close_probability: float = 0.0,
        stall_probability: float = 0.0,
        requests_per_connection: int = 0,
    ) -> None: ...

@final
class SimIo(Io):
    """The simulated backend: peers by port, on a virtual clock that starts at 1 s.

    What is random comes from `seed`. A connect to a port without a peer is refused. With `open_max`, further sockets fail
    with EMFILE. The counters are the network's own.
    """

    connections_seen: int
    requests_seen: int
    answers_sent: int
    resets_sent: int
    closes_sent: int
    bytes_in: int
    bytes_out: int
    stale_dropped: int
    def __init__(self, peers: dict[int, SimPeer], *, seed: int = 1, open_max: int = 0) -> None: ...

class ProbeEvent(NamedTuple):
    """One event of a backend. `result` is a number of bytes (connect: 0) or a negative errno; `data` what was received."""

    op: Literal["connect", "send", "recv"]
    slot: int
    result: int
    data: bytes
    time_ns: int

@final
class IoProbe:
    """Drives a backend from Python, one call a method of the io contract, from one thread. ValueError for a wrong slot."""

    def __init__(self, io: Io) -> None: ...
    def open(self, slots: int) -> int:
        """0 or a negative errno."""

    def shut(self) -> None:
        """Shut the backend; once more is harmless."""

    def now(self) -> int:
        """Nanoseconds of the backend's clock."""

    def connect(self, slot: int, address: tuple[str, int]) -> None:
        """Connect to (host, port), the host as an IPv4 or IPv6 literal. ValueError if it is none."""

    def send(self, slot: int, data: bytes) -> None:
        """Send all of `data`."""

    def close(self, slot: int) -> None:
        """Close the slot; nothing of its past is delivered from here on."""

    def wait(self, timeout_ns: int) -> int:
        """Wait for an event, at most `timeout_ns`. 0 or a negative errno."""

    def next(self) -> ProbeEvent | None:
        """The next event, its bytes copied, or None: then wait."""

    def drain(self, timeout_ns: int) -> list[ProbeEvent]:
        """All events of the next `timeout_ns`. OSError if waiting fails."""
