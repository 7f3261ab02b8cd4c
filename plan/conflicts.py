"""Checks of options and plans whose parts are valid by themselves but not together. All raise InputError."""

from __future__ import annotations

from heyfleet.errors import InputError
from heyfleet.plan.options import RunOptions
from heyfleet.plan.thresholds import check_thresholds
from heyfleet.proto.plan_pb2 import CONNECTION_RATE, EITHER, HTTP_2, USERS, Plan

MAX_BREAKDOWNS = 1024  # of a run: requests times stages
_DEPLOYMENT_FLAGS = {
    "on": "--on",
    "hosts": "--hosts",
    "with_": "--with",
    "fleet_file": "--fleet-file",
    "join": "--join",
    "for_": "--for",
    "keep": "--keep",
    "dry_run": "--dry-run",
}
_AGENTS_LEAVE = "agents that join one command leave after its first run"


def launches_agents(options: RunOptions) -> bool:
    """Return whether the run launches its agents itself."""
    return bool(options.on or options.fleet_file)


def uses_fleet(options: RunOptions) -> bool:
    """Return whether agents, and not this process, make the load."""
    return bool(options.agents or options.local_agents or options.controller or launches_agents(options))


def check_options(options: RunOptions) -> None:
    """Refuse options that contradict each other, before any file of them is read."""
    if not options.url and not options.targets:
        raise InputError("no URL given", "try heyfleet run http://localhost:8080/ (-h shows all flags)")
    if options.targets and (options.method != "GET" or options.body is not None or options.body_file):
        raise InputError(
            "--targets and -m, -d or -D exclude each other", "methods and bodies are in the targets file"
        )
    if launches_agents(options):
        _check_deployment(options)
    else:
        _check_fleet(options)
    if options.find_max:
        _check_find_max(options)
    elif options.repeat:
        _check_repeat(options)


def _check_deployment(options: RunOptions) -> None:
    for flag, is_set in {
        "--local-agents": options.local_agents,
        "--controller": options.controller,
        "--spool": options.spool,
    }.items():
        if is_set:
            raise InputError(f"{flag} and --on or --fleet-file exclude each other: where do the agents run?")
    if options.join_files:
        raise InputError(
            "--join-files and --on exclude each other", "launched agents get these files by themselves"
        )
    if options.find_max or options.repeat:
        raise InputError(
            f"{'--find-max' if options.find_max else '--repeat'} makes several runs, and --on launches agents for one",
            "use `heyfleet fleet up`, then --controller",
        )


def _check_fleet(options: RunOptions) -> None:
    for field, flag in _DEPLOYMENT_FLAGS.items():
        if getattr(options, field):
            raise InputError(
                f"{flag} needs --on or --fleet-file: it is about agents that are launched for this run"
            )
    choices = {
        "--agents": options.agents,
        "--local-agents": options.local_agents,
        "--controller": options.controller,
    }
    chosen = [flag for flag, value in choices.items() if value]
    if options.local_agents and len(chosen) > 1:
        raise InputError(f"{' and '.join(chosen)} exclude each other: where do the agents run?")
    if options.controller and options.listen:
        raise InputError(
            "--listen and --controller exclude each other: agents join that controller, not this command"
        )
    if options.min_agents and not options.agents:
        raise InputError("--min-agents needs --agents, the number of agents to wait for")
    if options.min_agents > options.agents:
        raise InputError(f"--min-agents {options.min_agents} is more than --agents {options.agents}")
    if not chosen:
        needs_fleet = {
            "--per-agent": options.per_agent,
            "--listen": options.listen,
            "--spool": options.spool,
        }
        for flag, is_set in needs_fleet.items():
            if is_set:
                raise InputError(f"{flag} needs a fleet: --agents, --local-agents or --controller")


def _check_find_max(options: RunOptions) -> None:
    if options.out or options.prometheus or options.otlp or options.repeat:
        raise InputError(
            "--find-max and --out, --prometheus, --otlp or --repeat exclude each other: it makes many short runs"
        )
    if options.agents and not options.controller:
        raise InputError(
            f"--find-max makes several runs, and {_AGENTS_LEAVE}",
            "use --local-agents, or a `heyfleet controller`",
        )


def _check_repeat(options: RunOptions) -> None:
    if options.no_archive:
        raise InputError("--repeat and --no-archive exclude each other: --repeat compares archived runs")
    if options.agents and not options.controller:
        raise InputError(
            f"--repeat makes several runs, and {_AGENTS_LEAVE}",
            "use --local-agents, or a `heyfleet controller`",
        )


def check_plan(plan: Plan) -> None:
    """Refuse a plan whose options can't work together."""
    _check_breakdowns(plan)
    if plan.kernel_timestamps and plan.io == "io_uring":
        raise InputError(
            "--kernel-timestamps needs epoll, as io_uring doesn't report the kernel's timestamps", "drop --io"
        )
    if plan.kernel_timestamps and plan.target.scheme == "https":
        raise InputError("--kernel-timestamps works on plain connections only, as TLS changes what is timed")
    if plan.unix_socket:
        _check_unix_socket(plan)
    if plan.http == HTTP_2:
        _check_http2(plan)
    elif plan.streams > 1:
        raise InputError("--streams needs HTTP/2", "add -h2, or --h2c for an http URL")
    if plan.HasField("proxy"):
        _check_proxy(plan)
    check_thresholds(plan)


def _check_breakdowns(plan: Plan) -> None:
    stages, requests = max(len(plan.stages), 1), len(plan.requests)
    if requests > MAX_BREAKDOWNS:
        raise InputError(
            f"{requests} requests, each with statistics of its own, are more than {MAX_BREAKDOWNS}",
            "one request with a placeholder takes any number of rows: --template and --data",
        )
    if stages * requests > MAX_BREAKDOWNS:
        raise InputError(
            f"{stages} stages of {requests} requests need {stages * requests} sets of statistics; "
            f"the maximum is {MAX_BREAKDOWNS}"
        )


def _check_unix_socket(plan: Plan) -> None:
    others = {
        "--resolve or --connect-to": bool(plan.resolve),
        "--source": bool(plan.sources),
        "-4 or -6": plan.family != EITHER,
        "--dns-ttl": plan.dns_ttl_ns > 0,
        "--kernel-timestamps": plan.kernel_timestamps,
    }
    for flag, is_set in others.items():
        if is_set:
            raise InputError(f"--unix-socket and {flag} exclude each other: a Unix socket has no address")


def _check_http2(plan: Plan) -> None:
    if plan.kernel_timestamps:
        raise InputError("--kernel-timestamps needs HTTP/1.1: the kernel can't tell streams apart")
    if plan.streams > 1 and plan.disable_keepalive:
        raise InputError(
            "--streams and --disable-keepalive exclude each other: streams share a connection that stays open"
        )
    if plan.streams > 1 and plan.load_model in (CONNECTION_RATE, USERS):
        raise InputError(
            "--streams works with -c or --rate; with "
            f"{'-q' if plan.load_model == CONNECTION_RATE else 'users'} each has a connection of its own"
        )


def _check_proxy(plan: Plan) -> None:
    target = plan.target
    if plan.unix_socket:
        raise InputError("-x and --unix-socket exclude each other: connections go to only one of them")
    rules = [
        rule for rule in plan.resolve if rule.host in ("", target.host) and rule.port in (0, target.port)
    ]
    if rules and target.scheme == "http":
        raise InputError(
            "-x and --resolve or --connect-to exclude each other for an http URL: the proxy connects to the target"
        )
    if rules and len(rules[0].to_hosts) > 1:
        raise InputError("--resolve with -x takes one address: a tunnel through the proxy has one end")
    if target.scheme == "http" and plan.http == HTTP_2:
        raise InputError("--h2c can't go through a proxy", "drop -x, or use HTTP/1.1")
