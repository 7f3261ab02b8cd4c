"""`heyfleet run`: hey's flags under hey's names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from heyfleet import __version__, console
from heyfleet.cli import fleet_flags as fleet
from heyfleet.cli.connection_flags import connection_flags
from heyfleet.cli.go_flags import Flag, GoCommand, Value
from heyfleet.cli.load_flags import shape_flags, threshold_flags
from heyfleet.controller.executors.base import AgentLink
from heyfleet.controller.executors.local import Executor
from heyfleet.plan import values
from heyfleet.plan.build import TIMEOUT_NS, Flags, make_plan
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.results.archive.archiver import Archiver
from heyfleet.results.intervals import IntervalSink

if TYPE_CHECKING:
    from heyfleet.controller.executors.deployment import Deployment
    from heyfleet.plan.plan_file import PlanFile

HELP = "Send HTTP requests from this host or from a fleet, and report their latencies as hey does."
EPILOG = """\b
Examples:
  heyfleet run http://localhost:8080/
  heyfleet run -n 10000 -c 100 http://localhost:8080/
  heyfleet run -z 30s -c 50 -q 20 -H 'Accept: text/plain' http://localhost:8080/
  heyfleet run -m POST -T application/json -D body.json http://localhost:8080/
  heyfleet run --rate 5k -z 30s --slo 'p99<50ms, errors<0.1%' http://localhost:8080/
  heyfleet run --users 1100 --spawn-rate 100 -z 30s http://localhost:8080/
  heyfleet run -f plan.yaml
  heyfleet run -z 30s -c 1000 --local-agents 4 http://localhost:8080/
  heyfleet run -z 30s -c 30000 --agents 3 http://service.internal/

\b
A DURATION is like 500ms, 10s, 3m or 1h30m. A flag has one dash or two, its
value follows or is joined to it by =, and it stands before or after the URL.

\b
Exit code: 0; 1 a fault of heyfleet, or a report that does not add up; 2 it could
not begin, nothing was sent; 3 no request was answered; 4 agents were lost, the
report says what is missing; 5 a threshold of --slo was not met, --abort-on ended
the load, or --find-max found no rate; 130 or 143 interrupted."""


class RunCommand(GoCommand):
    """`run`, whose flags may come from a plan file; those of the command line go before."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the plan file first, so that what it says is the flags' default."""
        flags = self._canonical(ctx, args)
        rest = iter(flags)
        for flag in rest:
            if flag == "--":
                break
            if flag == "-f":
                ctx.meta["plan_file"] = file = self.load(next(rest))
                ctx.default_map = file.given
        return super().parse_args(ctx, args)

    def load(self, path: str) -> PlanFile:
        """A plan file of these flags."""
        from heyfleet.plan.plan_file import key_of, load

        return load(path, {key_of(param): param for param in self.params if key_of(param)})


FleetFactory = Callable[[dict[str, Any], int], "Deployment"]


def run_command(make_agent: Callable[[], AgentLink], make_fleet: FleetFactory) -> RunCommand:
    """The command, for one kind of agent, made only when each flag is known to be good, and who brings others up."""

    def callback(**given: Any) -> None:
        out, no_archive = given.pop("out"), given.pop("no_archive")
        prometheus, otlp, times = given.pop("prometheus"), given.pop("otlp"), given.pop("repeat")
        deploying = {name: given[name] for name in fleet.DEPLOY_NAMES} if fleet.deployed(given) else {}
        if deploying and (given["find_max"] or times):
            raise click.UsageError(
                "--find-max and --repeat make several runs, and --on brings agents up for one: use `heyfleet fleet up`,"
                " then --controller"
            )
        find_max, options, flags = asked(click.get_current_context(), given)
        if find_max:
            if out or prometheus or otlp or times:
                raise click.UsageError(
                    "--find-max goes without --out, --prometheus, --otlp and --repeat: it makes runs of its own"
                )
            from heyfleet.cli.find_max import find_max_and_report

            code = find_max_and_report(flags, find_max, lambda: _executor(options, make_agent))
            raise click.exceptions.Exit(code)
        from heyfleet.cli.run_report import run_and_report

        live_exports = _live_exports(prometheus, otlp) if prometheus or otlp else None
        if deploying:
            from heyfleet.cli.deployed_run import run_deployed

            deployment = make_fleet(deploying, options["agents"])
            archiver, dry = _archiver(out, no_archive), bool(deploying["dry_run"])
            code = run_deployed(flags, options, deployment, archiver, live_exports, dry=dry)
            raise click.exceptions.Exit(code)

        def once(archiver: Archiver) -> int:
            return run_and_report(flags, _executor(options, make_agent), archiver, live_exports)

        if times:
            raise click.exceptions.Exit(
                _repeated(times, out, no_archive, options, once, for_machines=bool(flags.output))
            )
        raise click.exceptions.Exit(once(_archiver(out, no_archive)))

    return RunCommand(
        "run",
        callback=callback,
        params=[
            *_load_flags(),
            *shape_flags(),
            *threshold_flags(),
            *_request_flags(),
            *connection_flags(),
            *fleet.fleet_flags(),
            *_output_flags(),
            click.Argument(["url"], nargs=-1, type=click.UNPROCESSED),
        ],
        help=HELP,
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "-help"]},
    )


def asked(ctx: click.Context, given: dict[str, Any]) -> tuple[tuple[str, ...], dict[str, Any], Flags]:
    """What --find-max looks for, the flags of the fleet, and those of the plan; UsageError."""
    file: PlanFile | None = ctx.meta.get("plan_file")
    for name in ("plan_file", "out", "no_archive", "prometheus", "otlp", "repeat"):
        given.pop(name, None)
    url = given.pop("url")
    given["output"] = _output(given["output"], given.pop("json"))
    _check_urls(url, given["targets"])
    fleet.check(given)
    for name in fleet.DEPLOY_NAMES:
        given.pop(name)
    find_max = given.pop("find_max")
    if find_max and options_that_leave(given):
        raise click.UsageError(
            "--find-max makes several runs, and agents that join one command leave with its first: "
            "use --local-agents, or a `heyfleet controller`"
        )
    given["user_agent"] = given["user_agent"] or f"heyfleet/{__version__}"
    options = {name: given.pop(name) for name in fleet.NAMES}
    targets = given.pop("targets")
    flags = Flags(url=url[0] if url else "", per_agent=options["per_agent"], **given)
    if targets:
        flags = _with_targets(flags, targets, file is not None and bool(file.requests))
    if file is not None and file.requests:
        from heyfleet.plan.requests import of_file

        flags = replace(flags, mix=tuple(of_file(request, flags) for request in file.requests))
    return find_max, options, flags


def _with_targets(flags: Flags, path: str, others: bool) -> Flags:
    """The flags with the requests of a targets file; UsageError where something else describes them, too."""
    from heyfleet.plan.requests import of_targets
    from heyfleet.plan.targets_file import load

    if others:
        raise click.UsageError("--targets and the requests of a plan file exclude each other")
    if flags.method != "GET" or flags.body is not None or flags.body_file:
        raise click.UsageError("with --targets, method and body are in the file: -m, -d and -D have no place")
    url, entries = load(path, flags.url)
    return replace(flags, url=url, mix=tuple(of_targets(entries, flags)))


def _repeated(
    times: int,
    out: str,
    no_archive: bool,
    options: dict[str, Any],
    once: Callable[[Archiver], int],
    *,
    for_machines: bool,
) -> int:
    from heyfleet.cli.repeat import repeat

    if no_archive:
        raise click.UsageError("--repeat compares the runs that it keeps, so it goes without --no-archive")
    if options_that_leave(options):
        raise click.UsageError(
            "--repeat makes several runs, and agents that join one command leave with its first: "
            "use --local-agents, or a `heyfleet controller`"
        )
    return repeat(times, out, once, lines_to_stderr=for_machines)


def _archiver(out: str, no_archive: bool) -> Archiver:
    return Archiver(out, enabled=not no_archive, warn=console.info)


def _live_exports(prometheus: str, otlp: str) -> Callable[[Plan], AbstractContextManager[list[IntervalSink]]]:
    from heyfleet.results.export.live import live_exports

    return lambda plan: live_exports(plan, prometheus, otlp, console.info)


def options_that_leave(given: dict[str, Any]) -> bool:
    """Whether the fleet is one that joins for one run."""
    return bool(given["agents"]) and not given["controller"]


def planned(run: RunCommand, args: list[str]) -> tuple[Plan, dict[str, Any], PlanFile | None]:
    """The plan that arguments of `run` make; the texts that flags and file gave, by the flags' names; the file."""
    with run.make_context("run", list(args)) as ctx:
        texts = dict(ctx.default_map or {})
        texts.update(run.texts(ctx, args))
        texts["url"] = ctx.params["url"][0] if ctx.params["url"] else ""
        _, _, flags = asked(ctx, dict(ctx.params))
        return make_plan(flags), {"url": texts.pop("url"), **texts}, ctx.meta.get("plan_file")


def _executor(options: dict[str, Any], make_agent: Callable[[], AgentLink]) -> Executor:
    """Who makes the load; only what that needs gets imported."""
    if not (options["agents"] or options["local_agents"] or options["controller"]):
        from heyfleet.controller.executors.local import LocalExecutor

        return LocalExecutor(make_agent())
    from heyfleet.controller.executors.options import FleetOptions

    if options["controller"]:
        from heyfleet.controller.executors.remote import RemoteExecutor

        return RemoteExecutor(FleetOptions(**options))
    from heyfleet.controller.executors.fleet import FleetExecutor

    return FleetExecutor(FleetOptions(**options))


def _output(output: str, json: bool) -> str:
    if output not in ("", "csv"):
        raise click.UsageError(
            f"-o: {output!r} is not known; there is -o csv, and --json in place of templates"
        )
    if json and output:
        raise click.UsageError("-o csv and --json exclude each other")
    return "json" if json else output


def _check_urls(urls: tuple[str, ...], targets: str) -> None:
    """A number of URLs that is not one."""
    if not urls and not targets:
        raise click.UsageError("no URL given; try heyfleet run http://localhost:8080/ (-h shows all flags)")
    if len(urls) > 1:
        raise click.UsageError(
            f"one URL is enough: {urls[0]!r}, then {urls[1]!r} (quote what the shell would split)"
        )


def _load_flags() -> Iterator[click.Option]:
    count, small = Value("N", values.count), Value("N", values.small_count)
    section = "Load"
    yield Flag(
        ["-f", "plan_file"],
        metavar="FILE",
        default="",
        help="A plan, in YAML: all flags, and several requests. Flags given here go before it.",
        section=section,
    )
    yield Flag(
        ["-n", "requests"], type=count, help="Requests to send, exactly. Default 200.", section=section
    )
    yield Flag(
        ["-c", "connections"],
        type=small,
        help="Connections, each with one request at a time. Default 50, and never more than requests.",
        section=section,
    )
    yield Flag(
        ["-q", "rate_per_connection"],
        type=Value("RATE", values.rate),
        default=0.0,
        help="Requests a second on each connection. Default 0: as fast as answers come.",
        section=section,
    )
    yield Flag(
        ["-z", "duration_ns"],
        type=Value("DURATION", values.duration),
        default=0,
        help="How long to send, in place of -n; with -n too, whichever comes first ends the run.",
        section=section,
    )
    yield Flag(
        ["-t", "timeout_ns"],
        type=Value("SECONDS", values.seconds),
        default=TIMEOUT_NS,
        help="Time limit of one request, in seconds or as a DURATION. Default 20; 0 is none.",
        section=section,
    )


def _request_flags() -> Iterator[click.Option]:
    text, section = Value("TEXT", values.header_value), "Request"
    method, header = Value("METHOD", values.method), Value("'NAME: VALUE'", values.header)
    credentials, host = Value("USER:PASSWORD", values.credentials), Value("HOST", values.host_header)
    yield Flag(
        ["-m", "method"], type=method, default="GET", help="Request method. Default GET.", section=section
    )
    yield Flag(
        ["-H", "headers"],
        type=header,
        multiple=True,
        help="A header; may be repeated, all are sent, in order. It replaces ours of that name.",
        section=section,
    )
    yield Flag(["-d", "body"], metavar="TEXT", help="Request body.", section=section)
    yield Flag(
        ["-D", "body_file"], metavar="FILE", help="Request body from a file; goes before -d.", section=section
    )
    yield Flag(
        ["-T", "content_type"],
        type=text,
        help="Content-Type. Default text/html if there is a body, else none.",
        section=section,
    )
    yield Flag(["-A", "accept"], type=text, help="Accept header.", section=section)
    yield Flag(["-U", "user_agent"], type=text, help=f"Default heyfleet/{__version__}.", section=section)
    yield Flag(["-a", "credentials"], type=credentials, help="Basic authentication.", section=section)
    yield Flag(["-host"], type=host, help="Host header. Default: that of the URL.", section=section)
    yield Flag(
        ["-disable-compression"], is_flag=True, help="Don't send Accept-Encoding: gzip.", section=section
    )
    yield Flag(
        ["--decode"],
        is_flag=True,
        help="Ask for compressed answers and decode them: gzip, deflate, br, zstd. Broken ones are errors.",
        section=section,
    )
    yield from _several_flags()


def _several_flags() -> Iterator[click.Option]:
    """Of requests that are not all the same."""
    section = "Request"
    yield Flag(
        ["--targets"],
        metavar="FILE",
        default="",
        help="Many requests, in turn or by weight, in place of the URL: vegeta's formats (METHOD URL, or JSON).",
        section=section,
    )
    yield Flag(
        ["--template"],
        is_flag=True,
        help="Placeholders in URL, headers and body: {seq}, {rand:1-100}, {uuid}, {csv:column}.",
        section=section,
    )
    yield Flag(
        ["--data", "data_file"],
        metavar="FILE",
        help="CSV with a row of names, for {csv:column}; request number i takes row i, over and over.",
        section=section,
    )
    yield Flag(
        ["--data-once"],
        is_flag=True,
        help="Each row of --data for one request, over the whole fleet; the last one ends the run.",
        section=section,
    )


def _output_flags() -> Iterator[click.Option]:
    section = "Output and engine"
    yield Flag(
        ["-o", "output"],
        metavar="csv",
        default="",
        help="One row a response, in hey's columns.",
        section=section,
    )
    yield Flag(
        ["--json", "json"], is_flag=True, help="The whole report as one JSON document.", section=section
    )
    yield Flag(
        ["--out"],
        metavar="DIR",
        default="",
        help="Keep the run there, in a new folder. Default: within heyfleet-runs, or where HEYFLEET_RUNS says.",
        section=section,
    )
    yield Flag(["--no-archive"], is_flag=True, help="Don't keep the run.", section=section)
    yield Flag(
        ["--repeat"],
        type=Value("N", values.small_count),
        default=0,
        help="Make the run so often, and say how the runs differ from each other.",
        section=section,
    )
    yield Flag(
        ["--prometheus"],
        metavar="HOST:PORT",
        default="",
        help="Show each second of the run as metrics there, for Prometheus to scrape: :9464 is on all addresses.",
        section=section,
    )
    yield Flag(
        ["--otlp"],
        metavar="URL",
        default="",
        help="Send each second of the run to a collector of OpenTelemetry: http://localhost:4318.",
        section=section,
    )
    yield Flag(
        ["-cpus", "workers"],
        type=Value("N", values.small_count),
        default=0,
        help="Threads that send. Default: one a core.",
        section=section,
    )
    yield Flag(
        ["--io"],
        type=Value("auto|io_uring|epoll", values.io_backend),
        default="auto",
        help="How to wait for the network. Default auto: the best that this host allows.",
        section=section,
    )
