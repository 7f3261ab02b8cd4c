"""Typed face of the native engine."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, final, type_check_only

from _typeshed import ReadableBuffer

ERROR_NAMES: tuple[str, ...]
METRIC_NAMES: tuple[str, ...]
IO_NAMES: dict[type[Io], str]
STOP_NAMES: tuple[str, ...]
LOOP_NAMES: tuple[str, ...]
THINK_NAMES: tuple[str, ...]
SEGMENT_NAMES: tuple[str, ...]
UNIX_PREFIX: str
HTTP1_RESULT_NAMES: tuple[str, ...]
HTTP1_REASON_NAMES: tuple[str, ...]

@final
class Histogram:
    """An HDR histogram of nanoseconds, the same buckets for all, so that merging loses nothing.

    Values up to HIGHEST_NS are told apart to DIGITS significant digits, or in steps of 64 ns where that is
    coarser. Negative values are recorded as 0; values above HIGHEST_NS are counted at HIGHEST_NS and in
    `clamped`. `count`, `sum_ns`, `min_ns` and `max_ns` are exact. Integers beyond 64 bits raise
    OverflowError. The layout and the encoding are those of HdrHistogram.
    """

    LOWEST_NS: ClassVar[int]
    HIGHEST_NS: ClassVar[int]
    DIGITS: ClassVar[int]
    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __init__(self) -> None: ...
    def record(self, value_ns: int, count: int = 1) -> None:
        """Record a value `count` times. ValueError if `count` is below 1, or the total beyond 2**63 - 1."""

    def add(self, other: Histogram) -> None:
        """Add all values of `other`. ValueError, with nothing changed, if the total is beyond 2**63 - 1."""

    def reset(self) -> None:
        """Forget all values."""

    def copy(self) -> Histogram:
        """Another histogram with the same values."""

    def since(self, older: Histogram) -> Histogram:
        """What was added after `older` was copied from this. Its extremes and its sum are those of the buckets."""

    def encode(self) -> bytes:
        """The counts in HdrHistogram's V2 encoding, not compressed. The totals are not in it."""

    def add_encoded(
        self, payload: bytes, *, count: int, sum_ns: int, min_ns: int, max_ns: int, clamped: int
    ) -> None:
        """Add what `encode` returned elsewhere, with the totals of that histogram.

        ValueError, with nothing changed, if the payload is not a V2 payload of these settings, or if the
        totals are impossible for its counts: `count` must be the payload's, `min_ns` and `max_ns` in its
        first and last bucket in use, `clamped` not above the count of the last, `sum_ns` within the bounds
        of all.
        """

    @property
    def count(self) -> int:
        """How many values."""

    @property
    def sum_ns(self) -> int:
        """The exact sum of the values, before clamping. Stops at 2**64 - 1 (584 years)."""

    @property
    def min_ns(self) -> int:
        """The exact minimum, before clamping; 0 if empty."""

    @property
    def max_ns(self) -> int:
        """The exact maximum, before clamping; 0 if empty."""

    @property
    def clamped(self) -> int:
        """How many values were above HIGHEST_NS."""

    @property
    def mean_ns(self) -> float:
        """`sum_ns` / `count`; 0.0 if empty."""

    @property
    def stddev_ns(self) -> float:
        """The population's standard deviation, each value taken as the middle of its bucket; 0.0 if empty."""

    def value_at_percentile(self, percentile: float) -> int:
        """The value of rank ceil(percentile / 100 * count), at least 1, in ns: the nearest rank.

        It is the highest value that its bucket can hold, but not outside `min_ns` to `max_ns`; the value of
        the last rank is `max_ns`. The percentile is taken as it is written: 99.9 of 1000 values is rank 999.
        ValueError outside 0 to 100, or if the histogram is empty.
        """

    def count_at_or_below(self, value_ns: int) -> int:
        """How many values lie in the buckets up to the one of `value_ns`, that one included."""

    def buckets(self) -> list[tuple[int, int, int]]:
        """(lowest_ns, highest_ns, count) of each bucket in use, ascending; clamped values are in the last."""

def add_encoded_all(parts: list[tuple[Histogram, bytes, int, int, int, int, int]]) -> None:
    """Add encoded histograms, each (into, counts_v2, count, sum_ns, min_ns, max_ns, clamped), as `add_encoded` does.

    ValueError, with nothing changed in any of them, if one is not good. The same histogram may be there more than once.
    """

class Io:
    """What every backend does: connect, send and receive, as completions."""

@final
class EpollIo(Io):
    """The epoll backend. With `milliseconds` it waits as on a kernel before 5.11, with `stamps` the kernel stamps bytes."""

    def __init__(self, *, milliseconds: bool = False, stamps: bool = False) -> None: ...

@final
class UringIo(Io):
    """The io_uring backend."""

@final
class SimPeer:
    """One peer of the simulated network.

    What each kind does once connected: `answer` sends `response` for each complete request, in order; `echo`
    sends every byte back; `close` sends `response`, if any, then ends the stream, and what comes later is
    lost; `half_close` does the same, but reads on; `reset` resets at the first bytes; `silent` reads, and
    says nothing. The others do not connect: `refuse` and `unreachable` fail at once, `blackhole` after 127 s,
    as Linux does.

    A request ends with the bytes `request_end` (at most 8) or, when `request_bytes` is not 0, with each such
    number of bytes. A connect takes `connect_delay_ns`, a send `send_delay_ns` and its length at the
    bandwidth (0: no limit), an answer `delay_ns`; to the first and the last comes an even share of
    `jitter_ns`. With `split_bytes` bytes come in random pieces of at most that many. The probabilities are an
    answer's: of a reset or an end of the stream before its last byte, or of never coming. After
    `requests_per_connection` answers (0: no limit) the peer closes. ValueError for what makes no sense.
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

    What is random comes from `seed`. A connect to a port without a peer is refused. With `open_max`, further
    sockets fail with EMFILE. The counters are the network's own.
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
    """One event of a backend. `result` is a number of bytes (connect: 0) or a negative errno; `data` what was
    received.
    """

    op: Literal["connect", "send", "recv"]
    slot: int
    result: int
    data: bytes
    time_ns: int

@final
class TlsContext:
    """How a worker's connections speak TLS. Make one for each engine.

    `name` is the server's: a host name, which is sent (SNI), or an address; either is what its certificate must be for.
    `ca_pem`: trusted instead of the system's authorities. `certificate_pem` (with its chain) and `key_pem` are the
    client's. `version` "1.2" or "1.3" allows no other; "" allows both. `protocols` are offered by ALPN (RFC 7301), the
    preferred first; `demand`: without agreement on that one a connection fails. Raises ValueError with what can't be used,
    and MemoryError.
    """

    def __init__(
        self,
        name: str,
        *,
        insecure: bool = False,
        ca_pem: bytes = b"",
        certificate_pem: bytes = b"",
        key_pem: bytes = b"",
        resume: bool = True,
        version: str = "",
        protocols: tuple[str, ...] = ("http/1.1",),
        demand: str = "",
    ) -> None: ...

def hpack_encode(
    fields: Iterable[tuple[bytes, bytes]], shared: Sequence[tuple[bytes, bytes]] = (), insert: bool = False
) -> bytes:
    """A block of (name, value) fields, both bytes, names in lower case (RFC 7541).

    `shared`: what the dynamic table holds, the oldest first; `insert`: what this block is to put there, and has all of.
    """

def hpack_shared(requests: Sequence[Sequence[tuple[bytes, bytes]]]) -> tuple[tuple[bytes, bytes], ...]:
    """The fields that all requests have and that are worth a place in the peer's table, in the order of the first request."""

def hpack_decode(block: bytes) -> tuple[str, int, int]:
    """What the engine reads in a block of fields: (result, status, content length); for tests and fuzzing."""

def http2_request(
    fields: Iterable[tuple[bytes, bytes]],
    body: bytes,
    head: bool,
    shared: tuple[tuple[bytes, bytes], ...] = (),
) -> bytes:
    """A request as Http2Io sends it over and over: its (name, value) fields as frames, then the bare body.

    `head`: its answers have no content. `shared`: the fields of hpack_shared of all requests of an engine. The stream's
    number and the framing of the body are put in when it is sent.
    """

@final
class Http2Io(Io):
    """HTTP/2 over another backend, with so many streams on each connection; tells on demand where redirects lead to."""

    def __init__(self, inner: Io, streams: int, keep_location: bool = False) -> None: ...

@final
class TlsIo(Io):
    """TLS over another backend, by the settings of a context. No more than one engine may use either of them."""

    def __init__(self, inner: Io, context: TlsContext) -> None: ...

@final
class TunnelIo(Io):
    """Tunnels over another backend, whose connections go to the proxy. `head` asks for them, if a slot has none of its own."""

    def __init__(self, inner: Io, head: bytes) -> None: ...
    def lead(self, slot: int, head: bytes) -> None:
        """How the next connection on a closed slot asks for its tunnel. MemoryError, ValueError."""

@final
class IoProbe:
    """Drives a backend from Python, one call a method of the io contract, from one thread. ValueError for a
    wrong slot.
    """

    def __init__(self, io: Io) -> None: ...
    def open(self, slots: int) -> int:
        """0 or a negative errno."""

    def shut(self) -> None:
        """Shut the backend; once more is harmless."""

    def now(self) -> int:
        """Nanoseconds of the backend's clock."""

    def connect(self, slot: int, address: tuple[str, int], source: str | None = None) -> None:
        """Connect to (host, port) from the address `source`, hosts as IPv4 or IPv6 literals. ValueError if not."""

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

def backends() -> list[tuple[str, bool, str]]:
    """(name, available, why not) of each real io backend, the best first; tried out by opening it."""

@final
class ScheduleProbe:
    """The arithmetic of schedules for tests and for other tools: instants in nanoseconds from the start of the load.

    `stages` are (duration_ns, first level, last level); duration 0 is without an end, for the last. The connections number
    first, first + stride, ... of the plan's are a worker's. ValueError.
    """

    def __init__(
        self,
        stages: list[tuple[int, float, float]],
        *,
        plan_connections: int = 1,
        first: int = 0,
        stride: int = 1,
        connections: int = 1,
        poisson: bool = False,
        seed: int = 0,
    ) -> None: ...
    def offset_ns(self, tick: int) -> int:
        """Of a worker's tick of an even schedule."""

    def next_ns(self) -> int | None:
        """Of the worker's next tick, from the first on; None after the last."""

    def user_begins_ns(self, user: int, from_ns: int = 0) -> int | None:
        """When a user (0, 1, ...) begins, at or after an instant; None if never."""

    def user_ends_ns(self, user: int, from_ns: int) -> int | None:
        """When a user that began at an instant ends; None if never."""

@final
class EngineSnapshot:
    """All that one worker measured since its last snapshot. Histograms by metric, in nanoseconds; the rest are counts."""

    @property
    def histograms(self) -> dict[str, Histogram]:
        """By name of METRIC_NAMES; metrics without values are left out."""
    @property
    def responses(self) -> dict[int, int]:
        """By status code."""
    @property
    def errors(self) -> dict[str, int]:
        """By kind, a name of ERROR_NAMES; a bad response has its reason behind a colon."""
    @property
    def addresses(self) -> dict[str, tuple[int, int, int, int]]:
        """(connections, not opened, responses, errors) by the target's addresses."""
    @property
    def sent(self) -> int: ...
    @property
    def abandoned(self) -> int: ...
    @property
    def connections_opened(self) -> int: ...
    @property
    def handshakes_full(self) -> int:
        """Of TLS."""
    @property
    def handshakes_resumed(self) -> int: ...
    @property
    def retries(self) -> int:
        """Times that a request was sent once more, since the server had not looked at it."""
    @property
    def redirects(self) -> int:
        """Answers that were followed to where they lead."""
    @property
    def goaways(self) -> int:
        """Connections that the server wanted no more requests on (HTTP/2)."""
    @property
    def unsolicited_responses(self) -> int:
        """Connections dropped because the peer sent what no request had asked for."""
    @property
    def bytes_sent(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def decoded_bytes(self) -> int: ...
    @property
    def body_bytes(self) -> int: ...
    @property
    def dropped(self) -> int:
        """Scheduled requests that were not sent because the engine itself was too late."""
    @property
    def warmup(self) -> EngineSnapshot | None:
        """What was sent in the warm-up, which is in none of the other numbers; None: nothing."""
    @property
    def parts(self) -> dict[tuple[int, int], EngineSnapshot]:
        """The same once more by the places of stage and request, where there are several of either."""

@type_check_only
class Follower(Protocol):
    """What an engine asks where a redirect leads to; see there."""

    def __call__(
        self, message: int, status: int, location: bytes, /
    ) -> tuple[int, bytes, bool, bool, int] | str | None: ...
    def forget(self, messages: list[int], /) -> None: ...

@final
class Engine:
    """One worker's load: create it, call `run` in a thread of its own, steer it from another.

    `io` is "auto", "io_uring", "epoll" or an Io object. `addresses` are (literal address, port) pairs, used in turn by the
    connections; `sources` are local addresses that the plan's connections come from in turn. `messages` are the plan's
    requests, each (rendered bytes, whether its answers have no body, and whether it may be sent twice: no, if that is not
    said); the plan's request number i is messages[order[i % len(order)]].

    `requests` and `duration_ns` end the load, 0 is no limit; what is intended in the first `warmup_ns` counts for
    neither. `timeout_ns` ends a request, 0 is never. `loop` says when requests are sent: "connections" have the next at
    once; "ticks", each of its own connection, or a "rate" on any free connection, follow `stages`, each (duration_ns,
    requests a second at its begin, at its end), evenly or `poisson`; "users", as many as connections, come and go with
    `stages` and think between requests, `think` being ("uniform", low_ns, high_ns) or ("exponential", mean_ns, 0). A
    stage of duration 0 has no end. A "rate" does not send what the engine itself was 100 ms too late for, but with
    `catch_up`. `kernel_timestamps` measures between the kernel's own stamps too; it takes epoll and no `tls`, which
    is how connections speak TLS (None: they don't).

    Over `http2`, messages are those of http2_request, and each connection carries `streams` requests at a time; more than
    one only in the loops "connections" and "rate".

    In place of rendered bytes a message may be a template: a list of ("text", bytes), ("seq",), ("rand", low, high),
    ("uuid",), ("column", index in `columns`), ("body",) before the body, ("length",) for its length, and for HTTP/2
    ("frame",) first of all and ("string", n) before the n segments of a string. Row number i modulo their count of
    `columns`, each a list of bytes, belongs to the plan's request number i.

    Redirects are followed where there is a `follower`, called as follower(message, status, location): of the message's
    number (its place in `messages`, or as the follower has given it) and the bytes of a Location. It returns what is
    asked next, as (number, rendered bytes, whether answers have no body, whether it may be sent twice, origin), a name of
    ERROR_NAMES that the request ends in, or None: the answer is the last. Origin 0 is the target, others are of
    `add_origin`. Its method forget(numbers) tells which of its messages are no more.

    A plan's connections may be dealt out to several engines: this one has `connections` of its `plan_connections`,
    those numbered first_connection, first_connection + connection_stride, ...

    Raises ValueError for arguments that make no sense and MemoryError.
    """

    def __init__(
        self,
        *,
        io: str | Io,
        addresses: list[tuple[str, int]],
        messages: Sequence[tuple[bytes | list[Any], bool] | tuple[bytes | list[Any], bool, bool]],
        connections: int,
        order: Sequence[int] = (0,),
        requests: int = 0,
        duration_ns: int = 0,
        timeout_ns: int = 0,
        keep_alive: bool = True,
        loop: str = "connections",
        stages: list[tuple[int, float, float]] | None = None,
        poisson: bool = False,
        seed: int = 0,
        think: tuple[str, int, int] | None = None,
        warmup_ns: int = 0,
        catch_up: bool = False,
        plan_connections: int = 0,
        first_connection: int = 0,
        connection_stride: int = 1,
        trace_rows: int = 0,
        sources: list[str] | None = None,
        kernel_timestamps: bool = False,
        tls: TlsContext | None = None,
        tunnel: bytes = b"",
        http2: bool = False,
        streams: int = 1,
        follower: Follower | None = None,
        columns: list[list[bytes]] | None = None,
        decode: bool = False,
    ) -> None: ...
    def set_addresses(self, addresses: list[tuple[str, int]]) -> None:
        """Let connections go to other addresses of the target from now on, as its name server says; from one thread only.

        Each connection whose address by its number is another than before is opened anew after its answer, or when it is
        next used. ValueError.
        """
    def add_origin(
        self, addresses: list[tuple[str, int]], tls: TlsContext | None, tunnel: bytes = b""
    ) -> int:
        """One more origin that redirects lead to, by its number; only to be called by the follower. ValueError."""
    @property
    def io_name(self) -> str:
        """The backend in use; after `prepared` the one that won."""
    @property
    def io_note(self) -> str:
        """Why a better backend was not taken, or nothing."""
    def run(self) -> None:
        """Prepare, wait for `start`, make load, and return when it has ended. Call once, in the worker's own thread.

        Raises OSError when the io backend can't be opened or fails; what was measured until then can still be read.
        """
    def start(self, at_ns: int) -> None:
        """Let the load begin at this instant of CLOCK_MONOTONIC (or at once, if it has passed)."""
    def stop(self) -> None:
        """End the load at once; requests in flight are abandoned. Safe from any thread and from signal handlers."""
    def snapshot(self) -> EngineSnapshot:
        """Take what was measured since the last snapshot, without stopping the loop. From one thread only."""
    @property
    def prepared(self) -> bool:
        """Whether the connections are open (or failed to) and the worker waits for its start."""
    @property
    def finished(self) -> bool: ...
    @property
    def connections(self) -> int:
        """How many connections the worker holds at most."""
    @property
    def connections_open(self) -> int:
        """Connections that are open now; exact once `prepared`, and before the start."""
    @property
    def totals(self) -> dict[str, int]:
        """After the end: planned, sent, responses, errors, abandoned, unsent, dropped; elapsed_ns, cpu_ns, wall_ns, loop_turns.

        `began_ns` is good at any time: when the worker began to make load, on CLOCK_MONOTONIC; 0 before.
        """
    @property
    def stopped_by(self) -> str:
        """What ended the load: "count", "duration", "signal" or "fault"; "" before the end."""
    @property
    def tls_spoken(self) -> str:
        """Version and cipher suite of the first TLS connection, as "TLSv1.3, TLS_AES_128_GCM_SHA256"; "" without any."""
    @property
    def protocol_agreed(self) -> str:
        """What the first TLS connection agreed on (ALPN), as "h2"; "" without any."""
    @property
    def streams_allowed(self) -> int:
        """How many streams a connection the server allows; 0: it has not said."""
    def trace(self) -> tuple[bytes, int]:
        """The per-request rows that were kept, packed as struct TraceRow ("<7q2i"), and how many found no room."""

@final
class Http1Parser:
    """A parser of one HTTP/1.x response; `start` makes it ready for the next.

    head_request: the response answers a HEAD request, so that it has no content whatever its fields say
    (RFC 9112 6.3). keep_location: keep the Location of a redirect. decode: decode content.
    """

    def __init__(
        self, head_request: bool = False, keep_location: bool = False, decode: bool = False
    ) -> None: ...
    def start(self, head_request: bool = False) -> None:
        """Forget everything and expect a status line."""

    def feed(self, data: ReadableBuffer) -> tuple[str, int]:
        """Read on in any object with the buffer protocol; the result and how many of its bytes were consumed.

        "more": all of them. "done": up to the response's last byte. "bad", "too large": up to what is wrong.
        """

    def finish(self) -> str:
        """Tell that the peer ended the stream: "done", "closed early", or what it was before."""

    @property
    def status(self) -> int:
        """The status code; 0 before it is read. After an interim (1xx) response, that of the next one."""

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may carry another request (RFC 9112 9.3); False before the head ends."""

    @property
    def body_bytes(self) -> int:
        """Bytes of content received, without chunk framing."""

    @property
    def decoded_bytes(self) -> int:
        """The same after decoding, if that is asked for; else 0."""
    @property
    def location(self) -> bytes:
        """The Location of a redirect, if it is kept; else empty."""
    @property
    def reason(self) -> str:
        """Why the result is "bad" or "too large", one of HTTP1_REASON_NAMES; else empty."""
