"""The behaviors of the faulty server, and how a URL selects one.

Everything is a parameter. `/NAME`, `/NAME/VALUE` and `?NAME=VALUE` all set one, so `/status/503?delay=20ms`
and `/ok?status=503&delay=20ms` mean the same. A shorthand stands for several parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote

from heyfleet.lab.units import (
    number_parser,
    numbers_parser,
    parse_seconds,
    parse_share,
    parse_size,
    parse_tail,
)

T = TypeVar("T")

SHORTHANDS = {
    "ok": "",
    "trickle": "pieces=1",
    "chunked": "chunks=1,2,3",
    "te-and-cl": "chunks=1,2,3&length=5",
    "close": "close-after=0",
    "reset": "reset-after=0",
    "refuse": "stream-error=7",
    "never": "hang-after=0",
    "half": "hang-after=10",
}
PAGES = {
    "echo": "return the request as received",
    "stats": "return the numbers of requests and connections so far",
    "help": "return this list",
}


def _parameter(default: T, parse: Callable[[str], T], help_text: str, bare: str = "") -> T:
    """Define a field that the URL can set; `bare` is its value if it is named without one."""
    definition: T = field(default=default, metadata={"parse": parse, "help": help_text, "bare": bare})
    return definition


_count = number_parser(0, 100_000)
_flag = number_parser(0, 1)
_sizes = numbers_parser(1, 1 << 26)


@dataclass(frozen=True, slots=True)
class Behavior:
    """One way to respond. Durations are in seconds, sizes in bytes; None means that the fault is off."""

    status: int = _parameter(200, number_parser(100, 999), "status code")
    size: int = _parameter(5, parse_size, "size of the body, which repeats hello")
    delay: float = _parameter(0.0, parse_seconds, "wait before the response")
    jitter: float = _parameter(0.0, parse_seconds, "additional random wait from 0 to this, uniform")
    tail: tuple[float, float] = _parameter(
        (0.0, 0.0), parse_tail, "1%/200ms: this share of responses waits that much longer"
    )
    share: float = _parameter(
        1.0, parse_share, "misbehave for this share of the requests only, and answer the rest like /ok"
    )
    label: str = _parameter("", str, "name under which /stats counts the request")

    version: str = _parameter(
        "1.1", str, "version in the status line; 1.0 closes unless connection=keep-alive"
    )
    status_line: str = _parameter("", str, "whole status line, any text")
    connection: str = _parameter("", str, "Connection header; close also closes", "close")
    header: str = _parameter("", str, "additional header line, any text, such as Location:%20/ok")
    headers: int = _parameter(0, _count, "number of additional headers", "100")
    header_bytes: int = _parameter(0, parse_size, "size of the value of an additional header", "100KiB")
    interim: tuple[int, ...] = _parameter(
        (), numbers_parser(100, 199), "100,103: interim responses before delay and response", "100"
    )

    pieces: tuple[int, ...] = _parameter(
        (), _sizes, "1,3,7: write the response in pieces of these sizes, repeatedly", "1,3,7"
    )
    gap: float = _parameter(0.001, parse_seconds, "pause between pieces")

    chunks: tuple[int, ...] = _parameter(
        (), _sizes, "1,2,3: chunked, in chunks of these sizes, repeatedly", "1,2,3"
    )
    trailers: int = _parameter(0, _count, "chunked, with this many trailers", "1")
    extensions: int = _parameter(0, _flag, "1: chunked, with chunk extensions", "1")
    bad_chunk: str = _parameter("", str, "chunked, with this text as the first size, then close", "zz")
    length: str = _parameter("", str, "Content-Length, any text; closes if the body is shorter")
    to_close: int = _parameter(0, _flag, "1: no length; the body ends with the connection", "1")
    bare_lf: int = _parameter(0, _flag, "1: end lines in LF instead of CRLF", "1")

    close_after: int | None = _parameter(None, parse_size, "close after this many bytes of the response")
    reset_after: int | None = _parameter(
        None, parse_size, "reset the connection (RST) after this many bytes of the response"
    )
    hang_after: int | None = _parameter(None, parse_size, "fall silent after this many bytes of the response")
    garbage: int = _parameter(0, parse_size, "respond with this many random bytes, then close", "512")
    unsolicited: float | None = _parameter(
        None, parse_seconds, "a second, unsolicited response this much later", "0"
    )
    keepalive: int = _parameter(
        0,
        _count,
        "close after this many requests on a connection, unannounced; over HTTP/2 with GOAWAY",
        "1",
    )
    stream_error: int | None = _parameter(
        None, number_parser(0, 2**32 - 1), "over HTTP/2, RST_STREAM with this code; over HTTP/1.1, RST", "7"
    )
    pings: int = _parameter(
        0, number_parser(0, 100_000), "over HTTP/2, this many PING frames before the response", "100"
    )
    idle_close: float | None = _parameter(
        None, parse_seconds, "close when idle for this long, unannounced", "0"
    )

    def __post_init__(self) -> None:
        if [self.close_after, self.reset_after, self.hang_after].count(None) < 2:
            raise ValueError("close-after, reset-after and hang-after exclude each other")

    @property
    def is_chunked(self) -> bool:
        """Whether the body is chunked."""
        return bool(self.chunks or self.trailers or self.extensions or self.bad_chunk)


PARAMETERS = {spec.name.replace("_", "-"): spec.metadata for spec in fields(Behavior)}


class ParsedTarget(NamedTuple):
    """A parsed request target: the name to count it by, the behavior, and the page if it is one."""

    name: str
    behavior: Behavior
    page: str = ""


def _set(name: str, value: str, into: dict[str, object]) -> None:
    if name in SHORTHANDS and not value:
        for inner_name, inner_value in parse_qsl(SHORTHANDS[name]):
            _set(inner_name, inner_value, into)
        return
    if name not in PARAMETERS:
        raise ValueError(
            f"{name}: " + ("takes no value" if name in SHORTHANDS else "no such parameter; /help lists them")
        )
    value = value or PARAMETERS[name]["bare"]
    try:
        into[name.replace("-", "_")] = PARAMETERS[name]["parse"](value)
    except ValueError as error:
        raise ValueError(f"{name}={value}: {error}") from None


def parse_query(query: str, name: str = "ok", value: str = "") -> Behavior:
    """Return the behavior that a query string selects, in addition to the name and value in the path.

    Raises ValueError with one line that names the invalid parameter.
    """
    if not query.isascii():
        raise ValueError("query: only ASCII is allowed; write other bytes as %XX")
    values: dict[str, object] = {}
    for pair in [(name, value), *parse_qsl(query, keep_blank_values=True, encoding="latin-1")]:
        _set(*pair, into=values)
    return Behavior(**values)  # type: ignore[arg-type]


def parse_target(target: str, default: Behavior | None = None) -> ParsedTarget:
    """Parse a request target in origin or absolute form; one that selects nothing gets the `default`.

    Raises LookupError for an unknown path and ValueError for an invalid parameter, each with one line that names it.
    """
    path, _, query = re.sub("^https?://[^/?]*", "", target).partition("?")
    if default is not None and path in ("", "/", "/ok") and not query:
        return ParsedTarget(default.label or "ok", default)
    name, _, value = unquote(path.removeprefix("/") or "help", "latin-1").partition("/")
    if name in PAGES and not value:
        behavior = parse_query(query)
        return ParsedTarget(behavior.label or name, behavior, name)
    if name not in PARAMETERS and name not in SHORTHANDS:
        raise LookupError(f"{path}: no such behavior; /help lists them")
    behavior = parse_query(query, name, value)
    return ParsedTarget(behavior.label or name, behavior)


def help_text() -> str:
    """Return a list of all behaviors as plain text."""
    rows = [(f"/{name}", text) for name, text in PAGES.items()]
    rows += [(f"/{name}", f"?{text}") for name, text in SHORTHANDS.items()]
    rows += [(f"?{name}=", spec["help"]) for name, spec in PARAMETERS.items()]
    intro = "Select behaviors as /NAME, /NAME/VALUE or ?NAME=VALUE, and combine them: /status/503?delay=20ms&chunked\n\n"
    return intro + "".join(f"{left:<16} {right}\n" for left, right in rows)
