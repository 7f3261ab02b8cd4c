"""Keywords of `heyfleet.run`, for type checkers and editors. Made by scripts/reference.py; don't edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from os import PathLike
from typing import Any, TypedDict

Seconds = float | str | timedelta
Path = str | PathLike[str]
Headers = Mapping[str, str] | Sequence[tuple[str, str]] | Sequence[str]


class RunKeywords(TypedDict, total=False):
    """Each option under its long name, and under hey's short one."""

    # Load
    plan: Path | None
    f: Path | None
    requests: int | str | None
    n: int | str | None
    connections: int | str | None
    c: int | str | None
    rate_per_connection: float | str | None
    q: float | str | None
    duration: Seconds | None
    z: Seconds | None
    timeout: Seconds | None
    t: Seconds | None

    # Load profile
    rate: float | str | None
    users: int | str | None
    stages: str | Sequence[str] | None
    spawn_rate: float | str | None
    think: str | None
    arrivals: str | None
    catch_up: bool | None
    warmup: Seconds | None
    seed: int | str | None

    # Thresholds
    slo: str | Sequence[str] | None
    abort_on: str | Sequence[str] | None

    # Request
    method: str | None
    m: str | None
    headers: Headers | None
    H: Headers | None
    data: str | bytes | None
    d: str | bytes | None
    body_file: Path | None
    D: Path | None
    content_type: str | None
    T: str | None
    accept: str | None
    A: str | None
    user_agent: str | None
    U: str | None
    user: str | None
    a: str | None
    host: str | None
    disable_compression: bool | None
    decode: bool | None
    targets: Path | None
    template: bool | None
    data_file: Path | None
    data_once: bool | None
    json: Any

    # Connection
    disable_keepalive: bool | None
    disable_redirects: bool | None
    http2: bool | None
    h2: bool | None
    h2c: bool | None
    streams: int | str | None
    resolve: str | Sequence[str] | None
    connect_to: str | Sequence[str] | None
    proxy: str | None
    x: str | None
    ipv4: bool | None
    ipv6: bool | None
    dns_ttl: Seconds | None
    unix_socket: str | None
    source: str | Sequence[str] | None
    kernel_timestamps: bool | None

    # TLS
    insecure: bool | None
    k: bool | None
    cacert: Path | None
    cert: Path | None
    key: Path | None
    tls: str | None
    no_resume: bool | None

    # Fleet
    agents: int | str | None
    local_agents: int | str | None
    controller: str | None
    min_agents: int | str | None
    join_timeout: Seconds | None
    lost_timeout: Seconds | None
    lease: Seconds | None
    listen: str | None
    credentials: str | None
    join_files: str | None
    per_agent: bool | None
    spool: str | None

    # Launch agents for this run
    on: str | None
    hosts: str | None
    with_: Mapping[str, str] | str | Sequence[str] | None
    fleet_file: Path | None
    join: str | None
    for_: Seconds | None
    keep: bool | None

    # Output
    prometheus: str | None
    otlp: str | None

    # Generator
    cpus: int | str | None
    io: str | None
