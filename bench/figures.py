"""Figures, the limits that they must keep, and how each is computed from runs.

A group measures all figures that need the same runs. `--only` selects from GROUPS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench import archive, http2, secure
from bench.fleet import (
    SIMULATED_AGENTS,
    merging,
    requests_per_cpu_s,
    start_skew,
    time_to_first_request,
)
from bench.instructions import instructions_per_request
from bench.measure import Round, Run, Spread, efficiency, interleave, run_counted, run_pinned, spread
from bench.memory import bytes_per_connection
from bench.peers import HEYFLEET, PEERS, Peer
from bench.target import Nginx

OURS = "heyfleet io_uring"
OURS_EPOLL = "heyfleet epoll"
LIMIT = "bare loop io_uring"
LIMIT_EPOLL = "bare loop epoll"
FEW, MANY = 64, 1000
LEAST_STARTUP_ROUNDS = 10
MOST_SLOW_ROUNDS = 3  # for figures that hardly vary and take long
PYTHON = (HEYFLEET[0], "-c", "pass")


@dataclass(frozen=True)
class Settings:
    """Duration and number of runs, and the cores to run on."""

    rounds: int
    seconds: float
    client_core: int
    server_core: int


@dataclass(frozen=True)
class Figure:
    """A figure over several rounds; `required` is its limit, or None where it is shown for orientation."""

    name: str
    values: Spread
    required: float | None = None
    at_most: bool = False
    digits: int = 2

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the limit; None without one."""
        if self.required is None:
            return None
        return self.values.median <= self.required if self.at_most else self.values.median >= self.required


@dataclass(frozen=True)
class Cost:
    """CPU time of one load generator per request."""

    name: str
    connections: int
    cpu_us: Spread
    user_us: Spread
    requests_per_s: Spread


@dataclass(frozen=True)
class Results:
    """Figures, costs and warnings of one or more groups."""

    figures: list[Figure]
    costs: list[Cost] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def count_mismatch(peer: Peer, run: Run, connections: int) -> str | None:
    """Return a warning if the counts of a generator and of the server differ by more than one request per connection."""
    reported = peer.reported(run.output)
    if reported is None or abs(reported - run.requests) <= connections:
        return None
    return f"{peer.name}, {connections} connections: reports {reported:,} requests, nginx counted {run.requests:,}"


def cost(rounds: Sequence[Round], name: str, connections: int) -> Cost:
    """Summarize the CPU time per request of one generator over all rounds."""
    runs = [each[name] for each in rounds]
    return Cost(
        name,
        connections,
        spread(run.cpu_us_per_request for run in runs),
        spread(run.user_us_per_request for run in runs),
        spread(run.requests / run.wall_s for run in runs),
    )


def cpu_figures(
    rounds: Sequence[Round], connections: int, required: dict[tuple[str, str], float]
) -> list[Figure]:
    """Compute the ratios of client CPU time; pairs without a limit are shown for orientation."""
    pairs = [*required, (OURS_EPOLL, LIMIT_EPOLL)]
    return [
        Figure(
            f"requests per client CPU-second, {ours} ({peer} = 1), {connections:,} connections",
            efficiency(rounds, ours, peer),
            required.get((ours, peer)),
        )
        for ours, peer in pairs
    ]


def client_cpu(settings: Settings, connections: int, required: dict[tuple[str, str], float]) -> Results:
    """Measure the client CPU time per request of all load generators in turn."""
    warnings: list[str] = []

    def player(peer: Peer, nginx: Nginx) -> Callable[[], Run]:
        def play() -> Run:
            command = peer.command(nginx.url, connections, settings.seconds)
            run = run_counted(command, settings.client_core, peer.env, nginx.wait_idle)
            if warning := count_mismatch(peer, run, connections):
                warnings.append(warning)
            return run

        return play

    for peer in PEERS:
        peer.prepare()
    with Nginx(settings.server_core) as nginx:
        rounds = interleave({peer.name: player(peer, nginx) for peer in PEERS}, settings.rounds)
    costs = [cost(rounds, peer.name, connections) for peer in PEERS]
    return Results(cpu_figures(rounds, connections, required), costs, warnings)


def cpu_few(settings: Settings) -> Results:
    """Measure client CPU time at 64 connections."""
    required = {(OURS, "wrk"): 1.2, (OURS, "hey"): 4.0, (OURS, LIMIT): 0.9, (OURS_EPOLL, "wrk"): 1.1}
    return client_cpu(settings, FEW, required)


def cpu_many(settings: Settings) -> Results:
    """Measure client CPU time at 1,000 connections."""
    required = {(OURS, "wrk"): 1.35, (OURS, "hey"): 4.5, (OURS, LIMIT): 0.9, (OURS_EPOLL, "wrk"): 1.1}
    return client_cpu(settings, MANY, required)


def tls_kept(settings: Settings) -> Results:
    """Measure HTTPS on kept-alive connections, TLS 1.3 with AES-128-GCM."""
    pairs = [(OURS, "wrk"), (OURS_EPOLL, "wrk")]
    figures = []
    with Nginx(settings.server_core) as nginx:
        for path, answer in (("/", "5 bytes"), ("/files/16KiB", "16 KiB")):
            commands = secure.keep_alive_commands(nginx, path, settings.seconds)
            ratios = secure.compare(nginx, commands, settings.client_core, settings.rounds, pairs)
            figures += [
                Figure(f"https, {answer}: requests per client CPU-second, {ours} (wrk = 1)", ratio, 1.1)
                for (ours, _), ratio in zip(pairs, ratios, strict=True)
            ]
    return Results(figures)


def tls_new(settings: Settings) -> Results:
    """Measure HTTPS with a new connection per request; only heyfleet verifies the certificate."""
    pairs = [(ours, other) for ours in ("heyfleet full", "heyfleet resumed") for other in ("wrk", "hey")]
    with Nginx(settings.server_core) as nginx:
        commands = secure.new_connection_commands(nginx, settings.seconds)
        ratios = secure.compare(nginx, commands, settings.client_core, settings.rounds, pairs)
    return Results(
        [
            Figure(
                f"https, new connections: handshakes per client CPU-second, {ours} ({other} = 1)", ratio, 1.0
            )
            for (ours, other), ratio in zip(pairs, ratios, strict=True)
        ]
    )


def large(settings: Settings) -> Results:
    """Measure responses of 1 MiB; the ratio of requests is that of bytes."""
    pairs = [(OURS, "wrk"), (OURS_EPOLL, "wrk")]
    figures = []
    with Nginx(settings.server_core) as nginx:
        for what, tls in (("http", False), ("https", True)):
            commands = secure.large_response_commands(nginx, settings.seconds, tls=tls)
            ratios = secure.compare(nginx, commands, settings.client_core, settings.rounds, pairs)
            figures += [
                Figure(f"{what}, 1 MiB: bytes per client CPU-second, {ours} (wrk = 1)", ratio, 1.0)
                for (ours, _), ratio in zip(pairs, ratios, strict=True)
            ]
    return Results(figures)


def over_http2(settings: Settings) -> Results:
    """Measure HTTP/2 over TLS 1.3, with one and with many concurrent streams per connection."""
    figures = []
    servers: list[tuple[str, type[Nginx] | type[http2.Nghttpd], float | None, float | None]] = [
        ("nghttpd", http2.Nghttpd, 1.1, 1.3),
        ("nginx", Nginx, None, None),
    ]
    for name, server, one, many in servers:
        with server(settings.server_core) as target:
            for connections, streams, required in ((64, 1, one), (8, 32, many)):
                ratios = http2.compare(
                    target, (connections, streams), settings.seconds, settings.client_core, settings.rounds
                )
                what = f"HTTP/2, {name}, {connections} x {streams} streams: requests per client CPU-second"
                figures += [
                    Figure(f"{what}, {ours} (h2load = 1)", ratio, required)
                    for ours, ratio in zip(http2.OURS, ratios, strict=True)
                ]
    return Results(figures)


def instructions(settings: Settings) -> Results:
    """Count user-space instructions per request with callgrind."""
    rounds = range(min(settings.rounds, MOST_SLOW_ROUNDS))
    figures = []
    with Nginx(settings.server_core) as nginx:
        for io in ("io_uring", "epoll"):
            counts = [instructions_per_request(nginx.url, io, FEW, settings.client_core) for _ in rounds]
            name = f"user-space instructions per request, {io} (callgrind)"
            figures.append(Figure(name, spread(counts), 1800, at_most=True, digits=0))
    return Results(figures)


def memory(settings: Settings) -> Results:
    """Measure how much each connection beyond the first 1,000 adds to the memory of the process."""
    slopes = []
    for _ in range(min(settings.rounds, MOST_SLOW_ROUNDS)):
        # A new server port each time: client ports of closed connections stay in TIME_WAIT towards the old one.
        with Nginx(settings.server_core) as nginx:
            slopes.append(bytes_per_connection(nginx, settings.client_core))
    name = "process memory of an open connection, bytes (1,000 to 15,000 connections)"
    return Results([Figure(name, spread(slopes), 1024, at_most=True, digits=0)])


def startup(settings: Settings) -> Results:
    """Measure a run of one request from start to exit, beside a Python process that does nothing."""
    with Nginx(settings.server_core) as nginx:
        commands = {"heyfleet": (*HEYFLEET, "run", "-n", "1", "-c", "1", nginx.url), "python": PYTHON}
        players = {
            name: (lambda command=command: run_pinned(command, settings.client_core))
            for name, command in commands.items()
        }
        interleave(players, 1)  # fills the page cache and compiles the modules
        rounds = interleave(players, max(settings.rounds, LEAST_STARTUP_ROUNDS))
    more_ms = spread((each["heyfleet"].wall_s - each["python"].wall_s) * 1e3 for each in rounds)
    python_ms = spread(each["python"].wall_s * 1e3 for each in rounds)
    return Results(
        [
            Figure(
                "heyfleet run -n 1 -c 1, ms more than python -c pass", more_ms, 150, at_most=True, digits=0
            ),
            Figure("python -c pass, ms", python_ms, digits=0),
        ]
    )


def fleet_merging(settings: Settings) -> Results:
    """Measure a controller with a thousand agents, once: it takes more than a minute."""
    costs = merging()
    one = f"controller, {SIMULATED_AGENTS:,} agents: "
    return Results(
        [
            Figure(
                f"{one}decode, merge and stats, cores", spread([costs["merge_cores"]]), 0.35, at_most=True
            ),
            Figure(f"{one}whole process with gRPC and TLS, cores", spread([costs["process_cores"]])),
            Figure(f"{one}peak memory, MiB", spread([costs["peak_mib"]]), 400, at_most=True, digits=0),
            Figure(
                f"{one}median wait for an acknowledgement, last quarter less first, s",
                spread([costs["ack_last_s"] - costs["ack_first_s"]]),
                0.25,
                at_most=True,
            ),
            Figure(f"{one}longest wait for an acknowledgement, s", spread([costs["ack_worst_s"]])),
        ]
    )


def fleet_streaming(settings: Settings) -> Results:
    """Measure an agent that streams to a controller beside one without a controller."""
    ratios = []
    with Nginx(settings.server_core) as nginx:
        for _ in range(settings.rounds):
            on, off = (
                requests_per_cpu_s(nginx, settings.seconds, settings.client_core, streaming=streaming)
                for streaming in (True, False)
            )
            ratios.append(on / off)
    return Results(
        [Figure("agent's requests per CPU-second, streaming (not streaming = 1)", spread(ratios), 0.98)]
    )


def fleet_start(settings: Settings) -> Results:
    """Measure how close together and how soon 4 agents on this host start."""
    with Nginx(settings.server_core) as nginx:
        skews = [start_skew(nginx.url) for _ in range(settings.rounds)]
    bounds_ms, slack_ms = zip(*skews, strict=True)
    first_s = [time_to_first_request() for _ in range(settings.rounds)]
    return Results(
        [
            Figure("4 local agents: stated bound of the start skew, ms", spread(bounds_ms), 2, at_most=True),
            Figure("4 local agents: stated bound less true skew, least, ms", spread([min(slack_ms)]), 0),
            Figure(
                "4 local agents: from the command to the first request, s", spread(first_s), 1.5, at_most=True
            ),
        ]
    )


def archiving(settings: Settings) -> Results:
    """Measure the archive of an hour of 100 agents and the page rendered from it, once, whatever the settings."""
    hour = archive.measure()
    return Results(
        [
            Figure("archive of 1 h at 100 agents, MiB", spread([hour.archive_mib]), 100, at_most=True),
            Figure("page from it, s", spread([hour.page_s]), 10, at_most=True),
            Figure("page from it, MiB", spread([hour.page_mib]), 10, at_most=True),
            Figure(
                "archiving and exporting 100 agents, cores",
                spread([hour.archiving_cores]),
                0.05,
                at_most=True,
                digits=3,
            ),
        ]
    )


GROUPS: dict[str, Callable[[Settings], Results]] = {
    "startup": startup,
    "instructions": instructions,
    "memory": memory,
    "cpu-64": cpu_few,
    "cpu-1000": cpu_many,
    "tls-kept": tls_kept,
    "tls-new": tls_new,
    "large": large,
    "http2": over_http2,
    "fleet-start": fleet_start,
    "fleet-streaming": fleet_streaming,
    "fleet-merging": fleet_merging,
    "archiving": archiving,
}
