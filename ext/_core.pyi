"""The native engine as Python sees it, with its documentation."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, final, type_check_only

from _typeshed import ReadableBuffer

ERROR_NAMES: tuple[str, ...]
METRIC_NAMES: tuple[str, ...]
COUNTER_NAMES: tuple[str, ...]
IO_NAMES: dict[type[Io], str]
STOP_NAMES: tuple[str, ...]
LOAD_MODELS: tuple[str, ...]
THINK_NAMES: tuple[str, ...]
SEGMENT_NAMES: tuple[str, ...]
UNIX_PREFIX: str
HTTP1_RESULT_NAMES: tuple[str, ...]
HTTP1_REASON_NAMES: tuple[str, ...]

@final
class Histogram:
    """An HDR histogram of nanoseconds. All histograms have the same buckets, so that merging loses nothing.

    Values up to HIGHEST_NS are distinguished to DIGITS significant digits, or in steps of 64 ns where that is
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
        """Record a value `count` times. Raises ValueError if `count` is below 1, or the total above 2**63 - 1."""

    def add(self, other: Histogram) -> None:
        """Add all values of `other`. Raises ValueError, and changes nothing, if the total is above 2**63 - 1."""

    def reset(self) -> None:
        """Forget all values."""

    def copy(self) -> Histogram:
        """Return a new histogram with the same values."""

    def since(self, older: Histogram) -> Histogram:
        """Return the values added after `older` was copied from this. Extremes and sum are those of the buckets."""

    def encode(self) -> bytes:
        """Return the counts in HdrHistogram's V2 encoding, uncompressed and without the totals."""

    def add_encoded(
        self, payload: bytes, *, count: int, sum_ns: int, min_ns: int, max_ns: int, clamped: int
    ) -> None:
        """Add an encoded histogram with its totals.

        Raises ValueError, and changes nothing, if the payload is not a V2 payload of these settings, or if the
        totals are impossible for its counts: `count` must be the payload's, `min_ns` and `max_ns` in its
        first and last bucket in use, `clamped` not above the count of the last, `sum_ns` within the bounds
        of all.
        """

    @property
    def count(self) -> int:
        """The number of values."""

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
        """The number of values above HIGHEST_NS."""

    @property
    def mean_ns(self) -> float:
        """`sum_ns` / `count`; 0.0 if empty."""

    @property
    def stddev_ns(self) -> float:
        """The population standard deviation, with each value taken as the middle of its bucket; 0.0 if empty."""

    def value_at_percentile(self, percentile: float) -> int:
        """Return the value of rank ceil(percentile / 100 * count), at least 1, in ns: the nearest rank.

        It is the highest value that its bucket can hold, but not outside `min_ns` to `max_ns`; the value of
        the last rank is `max_ns`. The percentile is taken as it is written: 99.9 of 1000 values is rank 999.
        Raises ValueError outside 0 to 100, or if the histogram is empty.
        """

    def count_at_or_below(self, value_ns: int) -> int:
        """Count the values in the buckets up to and including the one of `value_ns`."""

    def buckets(self) -> list[tuple[int, int, int]]:
        """Return (lowest_ns, highest_ns, count) of each bucket in use, ascending. Clamped values are in the last one."""

def add_encoded_all(parts: list[tuple[Histogram, bytes, int, int, int, int, int]]) -> None:
    """Add encoded histograms, each (into, counts_v2, count, sum_ns, min_ns, max_ns, clamped), as `add_encoded` does.

    Raises ValueError, and changes none of them, if one is invalid. The same histogram may occur more than once.
    """

class Io:
    """A backend: connects, sends and receives, and reports completions."""

@final
class EpollIo(Io):
    """The epoll backend.

    With `milliseconds` it waits as on a kernel before 5.11. With `stamps` the kernel timestamps what is sent and received.
    """

    def __init__(self, *, milliseconds: bool = False, stamps: bool = False) -> None: ...

@final
class UringIo(Io):
    """The io_uring backend."""

@final
class SimPeer:
    """One peer of the simulated network.

    What each kind does once connected: `answer` sends `response` for each complete request, in order; `echo`
    sends every byte back; `close` sends `response`, if any, then ends the stream, and later bytes are lost;
    `half_close` does the same, but reads on; `reset` resets at the first bytes; `silent` reads and sends
    nothing. The others do not connect: `refuse` and `unreachable` fail at once, `blackhole` after 127 s, as on
    Linux.

    A request ends with the bytes `request_end` (at most 8) or, if `request_bytes` is not 0, after that number
    of bytes. A connect takes `connect_delay_ns`, a send `send_delay_ns` plus its length at the bandwidth (0: no
    limit), a response `delay_ns`; connects and responses take up to `jitter_ns` longer, uniformly distributed.
    With `split_bytes` bytes come in random pieces of at most that size. The probabilities are those of a
    response to be reset or ended before its last byte, or never to come. After `requests_per_connection`
    responses (0: no limit) the peer closes. Raises ValueError for values that make no sense.
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

    Everything random comes from `seed`. A connect to a port without a peer is refused. Sockets beyond `open_max`
    fail with EMFILE. The counters are the network's own.
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
    """An event of a backend. `result` is a number of bytes (connect: 0) or a negative errno, `data` the bytes received."""

    op: Literal["connect", "send", "recv"]
    slot: int
    result: int
    data: bytes
    time_ns: int

@final
class TlsContext:
    """The TLS settings of a worker's connections. Make one for each engine.

    `name` is the server's host name, which is sent (SNI), or its address; the certificate must be valid for it. `ca_pem`
    replaces the system's authorities. `certificate_pem` (with its chain) and `key_pem` are the client's. `version` is "1.2"
    or "1.3"; "" allows both. `protocols` are offered by ALPN (RFC 7301), the preferred one first; a connection that does not
    agree on `demand` fails. Raises ValueError with the setting that can't be used, and MemoryError.
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
    """Encode a block of (name, value) fields, names in lower case (RFC 7541).

    `shared` are the entries of the dynamic table, the oldest first. With `insert` this block adds them, and must have them all.
    """

def hpack_shared(requests: Sequence[Sequence[tuple[bytes, bytes]]]) -> tuple[tuple[bytes, bytes], ...]:
    """The fields of all requests that are worth an entry in the peer's table, in the order of the first request."""

def hpack_decode(block: bytes) -> tuple[str, int, int]:
    """Decode a block of fields: (result, status, content length). For tests and fuzzing."""

def http2_request(
    fields: Iterable[tuple[bytes, bytes]],
    body: bytes,
    head: bool,
    shared: tuple[tuple[bytes, bytes], ...] = (),
) -> bytes:
    """Render a request for Http2Io: its (name, value) fields as frames, then the bare body.

    `head`: its response has no content. `shared`: the result of hpack_shared for all requests of the engine. Stream ids and
    the framing of the body are added when the request is sent.
    """

@final
class Http2Io(Io):
    """HTTP/2 over another backend, with `streams` on each connection. `keep_location`: report the Location of redirects."""

    def __init__(self, inner: Io, streams: int, keep_location: bool = False) -> None: ...

@final
class TlsIo(Io):
    """TLS over another backend, with the settings of a context. Only one engine may use either of them."""

    def __init__(self, inner: Io, context: TlsContext) -> None: ...

@final
class TunnelIo(Io):
    """Tunnels over another backend, whose connections go to a proxy. `head` is sent on slots that have none of their own."""

    def __init__(self, inner: Io, head: bytes) -> None: ...
    def lead(self, slot: int, head: bytes) -> None:
        """Set the head that asks for the next tunnel on a closed slot. Raises MemoryError and ValueError."""

@final
class IoProbe:
    """Drives a backend from Python, from one thread, with one method for each call of the io contract.

    Raises ValueError for a slot that does not exist.
    """

    def __init__(self, io: Io) -> None: ...
    def open(self, slots: int) -> int:
        """Open the backend. 0 or a negative errno."""

    def shut(self) -> None:
        """Shut the backend. It is harmless to do so twice."""

    def now(self) -> int:
        """Nanoseconds of the backend's clock."""

    def connect(self, slot: int, address: tuple[str, int], source: str | None = None) -> None:
        """Connect to (host, port) from the address `source`. Raises ValueError if a host is not an IP address."""

    def send(self, slot: int, data: bytes) -> None:
        """Send all of `data`."""

    def close(self, slot: int) -> None:
        """Close the slot. Nothing of its past is delivered from then on."""

    def wait(self, timeout_ns: int) -> int:
        """Wait for an event, at most `timeout_ns`. 0 or a negative errno."""

    def next(self) -> ProbeEvent | None:
        """Return the next event with a copy of its bytes, or None: then call wait."""

    def drain(self, timeout_ns: int) -> list[ProbeEvent]:
        """Return all events of the next `timeout_ns`. Raises OSError if waiting fails."""

def backends() -> list[tuple[str, bool, str]]:
    """(name, available, why not) of each backend that talks to the kernel, the best first, from opening it as a trial."""

@final
class ScheduleProbe:
    """A worker's schedule, for tests and other tools: instants in nanoseconds from the start of the load.

    `stages` are those of LoadConfig. The worker has the plan's connections number `first`, `first` + `stride`, and so on.
    Raises ValueError.
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
    def offset_ns(self, index: int) -> int:
        """Instant of any of the worker's requests, if they are evenly spaced."""

    def next_ns(self) -> int | None:
        """Instant of the worker's next request, beginning with the first; None after the last."""

    def user_begins_ns(self, user: int, from_ns: int = 0) -> int | None:
        """When a user (0, 1, ...) comes, at or after an instant; None if never."""

    def user_ends_ns(self, user: int, from_ns: int) -> int | None:
        """When a user that came at an instant goes; None if never."""

@final
class EngineSnapshot:
    """Everything one worker measured since its last snapshot. Histograms are in nanoseconds."""

    @property
    def counters(self) -> dict[str, int]:
        """Counters by name of COUNTER_NAMES."""
    @property
    def histograms(self) -> dict[str, Histogram]:
        """Histograms by name of METRIC_NAMES, without empty ones."""
    @property
    def responses(self) -> dict[int, int]:
        """Responses by status code."""
    @property
    def errors(self) -> dict[str, int]:
        """Errors by kind, a name of ERROR_NAMES. The reason of a bad response follows a colon."""
    @property
    def addresses(self) -> dict[str, tuple[int, int, int, int]]:
        """(connections, connections that failed to open, responses, errors) by address of the target."""
    @property
    def warmup(self) -> EngineSnapshot | None:
        """Requests of the warm-up, which are in nothing else. None if there were none."""
    @property
    def breakdowns(self) -> dict[tuple[int, int], EngineSnapshot]:
        """Metrics by (stage, request), if the plan has several of either."""

@type_check_only
class Follower(Protocol):
    """Decides where redirects lead to.

    A call gets the id of the message whose response redirects, the status code and the bytes of the Location. A message's id
    is its index in RequestConfig.messages, or the one that the follower gave it. It returns the next request as (id, rendered
    bytes, whether its response has no content, whether it is idempotent, origin), or the name in ERROR_NAMES that the request
    ends in, or None if the response is the last one. Origin 0 is the target; Engine.add_origin adds others.
    """

    def __call__(
        self, message: int, status: int, location: bytes, /
    ) -> tuple[int, bytes, bool, bool, int] | str | None: ...
    def forget(self, messages: list[int], /) -> None:
        """Forget messages that no redirect leads to any more."""

class TargetConfig(NamedTuple):
    """Where requests go.

    `addresses` are (literal address, port) pairs, which connections use in turn; `sources` are local addresses, which they
    come from in turn. With `tls` connections speak TLS. With `tunnel`, the head of a CONNECT request, the addresses are those
    of a proxy, which gets that head first on each connection. With `http2` messages are those of http2_request. With a
    `follower` redirects are followed; over HTTP/2, only within the target.
    """

    addresses: Sequence[tuple[str, int]]
    sources: Sequence[str] = ()
    tls: TlsContext | None = None
    tunnel: bytes = b""
    http2: bool = False
    follower: Follower | None = None

class RequestConfig(NamedTuple):
    """What is sent.

    `messages` are the plan's requests, each (rendered bytes or a template, whether its response has no content, whether it is
    idempotent; default: no). The plan's request number i is messages[order[i % len(order)]]. With `decode` content is decoded
    as its Content-Encoding says, and its length is counted in `decoded_bytes`.

    A template is a list of segments: ("text", bytes), ("seq",), ("rand", low, high), ("uuid",), ("column", index in `columns`),
    ("body",) before the body and ("length",) for its length; for HTTP/2 also ("frame",) before everything else and
    ("string", n) before the n segments of a string. `columns` are lists of bytes; the plan's request number i gets row i
    modulo the number of rows.

    The body of a request with the field `Expect: 100-continue` waits for the server's consent, but not over HTTP/2.
    """

    messages: Sequence[tuple[bytes | list[Any], bool] | tuple[bytes | list[Any], bool, bool]]
    order: Sequence[int] = (0,)
    columns: Sequence[list[bytes]] = ()
    decode: bool = False

class ConnectionConfig(NamedTuple):
    """How many connections there are, and how they are used.

    `streams` is the number of requests that each carries at a time. It can be above 1 only over HTTP/2, in the load models
    closed and rate. Without `keep_alive` each request gets a connection of its own. `timeout_ns` ends a request; 0 is never.

    A plan's connections can be dealt out to several engines: this one has `connections` of
    `plan_connections`, those numbered `first`, `first` + `stride`, and so on. `plan_connections` 0 means all of them.

    A redirect to another origin opens a second connection beside the first, which is kept. With `single`, the first is closed.
    """

    connections: int
    streams: int = 1
    keep_alive: bool = True
    timeout_ns: int = 0
    plan_connections: int = 0
    first: int = 0
    stride: int = 1
    single: bool = False

class LoadConfig(NamedTuple):
    """When requests are sent, and when the load ends.

    `model` is one of LOAD_MODELS. "closed": each connection sends its next request at once. "connection_rate": connections
    send in turn, each its own requests in order. "rate": a request goes out on any free connection. "users": each
    connection is a user, who comes and goes with the load profile and thinks between requests; `think` is
    ("uniform", low_ns, high_ns) or ("exponential", mean_ns, 0).

    `stages` are the load profile: (duration_ns, level at the beginning, level at the end). The level is in requests per second
    of the whole plan, or in users. A stage of duration 0 has no end. Requests are evenly spaced, or a Poisson process with
    `poisson`. The model "rate" drops requests that the engine itself is 100 ms late for, except with `catch_up`.

    `request_count` and `duration_ns` end the load; 0 is no limit. Requests intended in the first `warmup_ns` count for neither.
    `seed` determines everything random.

    `sends_per_s_at_most` is a limit that every send keeps, those of redirects and retries included: what exceeds it waits,
    with its timeout running. What 100 ms of it allow may be sent at once. `run_ns_at_most` ends the load, its warm-up
    included, with the reason "limit". 0 is no limit.
    """

    model: str = "closed"
    stages: Sequence[tuple[int, float, float]] = ()
    poisson: bool = False
    seed: int = 0
    think: tuple[str, int, int] | None = None
    catch_up: bool = False
    request_count: int = 0
    duration_ns: int = 0
    warmup_ns: int = 0
    sends_per_s_at_most: float = 0.0
    run_ns_at_most: int = 0

class RecordingConfig(NamedTuple):
    """What is recorded beyond the usual.

    `kernel_timestamps` adds the metric `kernel_latency`; it needs epoll and excludes TLS and HTTP/2. `trace_rows` is how many
    responses are traced.
    """

    kernel_timestamps: bool = False
    trace_rows: int = 0

@final
class Engine:
    """One worker's load: create it, call `run` in a thread of its own, steer it from another.

    `io` is "auto", "io_uring", "epoll" or an Io object.

    Raises ValueError for configurations that make no sense, and MemoryError.
    """

    def __init__(
        self,
        target: TargetConfig,
        requests: RequestConfig,
        connections: ConnectionConfig,
        load: LoadConfig,
        *,
        recording: RecordingConfig | None = None,
        io: str | Io = "auto",
    ) -> None: ...
    def set_addresses(self, addresses: list[tuple[str, int]]) -> None:
        """Replace the target's addresses while the load runs. Call it from one thread only.

        A connection whose address changes by that is opened anew after its response, or when it is next used.
        Raises ValueError.
        """
    def add_origin(
        self, addresses: list[tuple[str, int]], tls: TlsContext | None, tunnel: bytes = b""
    ) -> int:
        """Add an origin that redirects lead to, and return its number. Only a follower may call it. Raises ValueError."""
    @property
    def io_name(self) -> str:
        """The backend in use. It is final once `prepared`."""
    @property
    def io_note(self) -> str:
        """Why a better backend is not in use; else empty."""
    def run(self) -> None:
        """Prepare, wait for `start`, make load, and return when it has ended. Call it once, in the worker's own thread.

        Raises OSError when the io backend can't be opened or fails; what was measured until then can still be read.
        """
    def start(self, at_ns: int) -> None:
        """Order the load to start at an instant of CLOCK_MONOTONIC, or at once if that has passed."""
    def stop(self) -> None:
        """End the load at once, and abandon requests in flight. Safe from any thread and from signal handlers."""
    def snapshot(self) -> EngineSnapshot:
        """Return what was measured since the last snapshot, without stopping the loop. Call it from one thread only."""
    @property
    def prepared(self) -> bool:
        """Whether the connections are open, or failed to open, and the worker waits for its start."""
    @property
    def finished(self) -> bool:
        """Whether `run` has ended."""
    @property
    def connections(self) -> int:
        """How many connections the worker holds at most."""
    @property
    def connections_open(self) -> int:
        """How many connections are open. Exact between `prepared` and the start."""
    @property
    def totals(self) -> dict[str, int]:
        """Totals after the end: planned, sent, responses, errors, abandoned, unsent, dropped; elapsed_ns, cpu_ns,
        wall_ns, loop_turns.

        `began_ns` is valid at any time: the instant of CLOCK_MONOTONIC at which the worker began to make load; 0 before.
        """
    @property
    def stopped_by(self) -> str:
        """What ended the load: "count", "duration", "limit", "signal" or "fault"; "" before the end."""
    @property
    def tls_spoken(self) -> str:
        """Version and cipher suite of the first TLS connection, such as "TLSv1.3, TLS_AES_128_GCM_SHA256"; "" without any."""
    @property
    def protocol_agreed(self) -> str:
        """The protocol that the first TLS connection agreed on (ALPN), such as "h2"; "" without any."""
    @property
    def streams_allowed(self) -> int:
        """How many streams per connection the server allows; 0 if it has not said."""
    def trace(self) -> tuple[bytes, int]:
        """Return the traced responses, packed as struct TraceRow ("<7q2i"), and how many did not fit."""

@final
class Http1Parser:
    """A parser of one HTTP/1.x response; `start` makes it ready for the next.

    head_request: the response answers a HEAD request, so that it has no content whatever its fields say
    (RFC 9112 6.3). keep_location: keep the Location of a redirect. decode: decode content. work: units of
    decoding that each call of `feed` may do.
    """

    def __init__(
        self,
        head_request: bool = False,
        keep_location: bool = False,
        decode: bool = False,
        work: int = 1 << 62,
    ) -> None: ...
    def start(self, head_request: bool = False) -> None:
        """Forget everything and expect a status line."""

    def feed(self, data: ReadableBuffer) -> tuple[str, int]:
        """Read an object with the buffer protocol; return the result and how many of its bytes were consumed.

        "more": all of them. "done": those up to the response's last byte. "bad", "too large": those up to the fault.
        "paused": the rest must be passed again.
        """

    def finish(self) -> str:
        """End the stream; return "done", "closed early", or the result from before."""

    @property
    def status(self) -> int:
        """The status code, or 0 before it is read. An interim (1xx) one is replaced by the next."""

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may carry another request (RFC 9112 9.3); False before the head ends."""

    @property
    def body_bytes(self) -> int:
        """Bytes of content received, without chunk framing."""

    @property
    def decoded_bytes(self) -> int:
        """Bytes of content after decoding, with `decode`; else 0."""
    @property
    def location(self) -> bytes:
        """The Location of a redirect, with `keep_location`; else empty."""
    @property
    def reason(self) -> str:
        """Why the result is "bad" or "too large", one of HTTP1_REASON_NAMES; else empty."""
