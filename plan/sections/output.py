"""Options that say what is printed and kept, and how the generator works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from heyfleet.plan.option_types import option, switch
from heyfleet.plan.values import parse_io_backend, parse_output, parse_workers


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where results go."""

    title: ClassVar[str] = "Output"

    output: str = option(
        "-o",
        "--output",
        parse=parse_output,
        default="",
        default_text="hey's text report",
        metavar="csv|json",
        choices=("csv", "json"),
        help="Format on standard output: csv has one row for each response, json the whole report.",
    )
    json: bool = switch("--json", help="Short for -o json.")
    out: str = option(
        "--out",
        parse=str,
        default="",
        default_text="a new one in $HEYFLEET_RUNS or heyfleet-runs",
        metavar="DIR",
        help="New folder for the run's archive.",
    )
    no_archive: bool = switch("--no-archive", help="Don't keep an archive of the run.")
    prometheus: str = option(
        "--prometheus",
        parse=str,
        default="",
        metavar="HOST:PORT",
        help="Serve each second of the run as Prometheus metrics at this address; :9464 means all addresses.",
    )
    otlp: str = option(
        "--otlp",
        parse=str,
        default="",
        metavar="URL",
        help="Send each second of the run to an OpenTelemetry collector, like http://localhost:4318.",
    )


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions:
    """How each agent generates load."""

    title: ClassVar[str] = "Generator"

    workers: int = option(
        "--cpus",
        parse=parse_workers,
        default=0,
        default_text="one for each core",
        metavar="N",
        plan_field="workers",
        help="Number of worker threads.",
    )
    io: str = option(
        "--io",
        parse=parse_io_backend,
        default="",
        default_text="auto, the best that the host allows",
        metavar="auto|io_uring|epoll",
        choices=("auto", "io_uring", "epoll"),
        plan_field="io",
        help="I/O backend.",
    )
