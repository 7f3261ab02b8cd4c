"""What a URL asks the practice target to do.

Everything is a parameter. `/NAME`, `/NAME/VALUE` and `?NAME=VALUE` all set one, so `/status/503?delay=20ms`
and `/ok?status=503&delay=20ms` ask for the same. A shorthand stands for a few parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote

from heyfleet.lab.units import number, numbers, seconds, share, size_bytes, tail

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
PAGES = {"echo": "the request as received", "stats": "requests and connections so far", "help": "this list"}


def _is(default: T, read: Callable[[str], T], text: str, bare: str = "") -> T:
    """A field set from the URL; `bare` is its value when it is named without one."""
    made: T = field(default=default, metadata={"read": read, "help": text, "bare": bare})
    return made


_count = number(0, 100_000)
_flag = number(0, 1)
_sizes = numbers(1, 1 << 26)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way to answer. Durations are in seconds, sizes in bytes; None means not asked for."""

    status: int = _is(200, number(100, 999), "status code")
    size: int = _is(5, size_bytes, "bytes of body, hello over and over")
    delay: float = _is(0.0, seconds, "wait before the answer")
    jitter: float = _is(0.0, seconds, "a further wait, uniform from 0 to this")
    tail: tuple[float, float] = _is((0.0, 0.0), tail, "1%/200ms: this share waits so much longer")
    share: float = _is(1.0, share, "only this share of the requests, the rest is answered like /ok")
    label: str = _is("", str, "the name under which /stats counts the request")

    version: str = _is("1.1", str, "version in the status line; 1.0 closes unless connection=keep-alive")
    status_line: str = _is("", str, "the whole status line, any text")
    connection: str = _is("", str, "the Connection header; close also closes", "close")
    header: str = _is("", str, "one header line, any text, such as Location:%20/ok")
    headers: int = _is(0, _count, "so many extra headers", "100")
    header_bytes: int = _is(0, size_bytes, "one header with a value of so many bytes", "100KiB")
    interim: tuple[int, ...] = _is(
        (), numbers(100, 199), "100,103: responses ahead of delay and answer", "100"
    )

    pieces: tuple[int, ...] = _is((), _sizes, "1,3,7: sizes of writes, over and over", "1,3,7")
    gap: float = _is(0.001, seconds, "pause between pieces")

    chunks: tuple[int, ...] = _is((), _sizes, "1,2,3: chunked, sizes of chunks, over and over", "1,2,3")
    trailers: int = _is(0, _count, "chunked, with so many trailers", "1")
    extensions: int = _is(0, _flag, "1: chunked, with chunk extensions", "1")
    bad_chunk: str = _is("", str, "chunked, with this text for the first size, then closes", "zz")
    length: str = _is("", str, "Content-Length, any text; closes where the body is shorter")
    to_close: int = _is(0, _flag, "1: no length, the body ends with the connection", "1")
    bare_lf: int = _is(0, _flag, "1: lines end in LF instead of CRLF", "1")

    close_after: int | None = _is(None, size_bytes, "so many bytes of the answer, then close")
    reset_after: int | None = _is(None, size_bytes, "so many bytes of the answer, then RST")
    hang_after: int | None = _is(None, size_bytes, "so many bytes of the answer, then nothing more")
    garbage: int = _is(0, size_bytes, "so many random bytes for an answer, then close", "512")
    unsolicited: float | None = _is(None, seconds, "a second, unsolicited response this much later", "0")
    keepalive: int = _is(
        0,
        _count,
        "closes after so many requests of a connection, unannounced; over HTTP/2 by GOAWAY",
        "1",
    )
    stream_error: int | None = _is(
        None, number(0, 2**32 - 1), "over HTTP/2, RST_STREAM with this code; else RST", "7"
    )
    pings: int = _is(0, number(0, 100_000), "over HTTP/2, so many PING frames ahead of the answer", "100")
    idle_close: float | None = _is(None, seconds, "closes when idle for so long, unannounced", "0")

    def __post_init__(self) -> None:
        if [self.close_after, self.reset_after, self.hang_after].count(None) < 2:
            raise ValueError("close-after, reset-after, hang-after: only one at a time")

    @property
    def is_chunked(self) -> bool:
        return bool(self.chunks or self.trailers or self.extensions or self.bad_chunk)


PARAMETERS = {spec.name.replace("_", "-"): spec.metadata for spec in fields(Behaviour)}


class Asked(NamedTuple):
    """A target, understood: the name to count it by, how to answer, and the page if it is one."""

    name: str
    behaviour: Behaviour
    page: str = ""


def _set(name: str, value: str, into: dict[str, object]) -> None:
    if name in SHORTHANDS and not value:
        for inner_name, inner_value in parse_qsl(SHORTHANDS[name]):
            _set(inner_name, inner_value, into)
        return
    if name not in PARAMETERS:
        raise ValueError(
            f"{name}: " + ("takes no value" if name in SHORTHANDS else "no such parameter, see /help")
        )
    value = value or PARAMETERS[name]["bare"]
    try:
        into[name.replace("-", "_")] = PARAMETERS[name]["read"](value)
    except ValueError as error:
        raise ValueError(f"{name}={value}: {error}") from None


def from_query(query: str, name: str = "ok", value: str = "") -> Behaviour:
    """The behaviour that a query string asks for, on top of the path's name and value.

    Raises ValueError with one line that names the parameter at fault.
    """
    if not query.isascii():
        raise ValueError("query: only ASCII, other bytes as %XX")
    wanted: dict[str, object] = {}
    for pair in [(name, value), *parse_qsl(query, keep_blank_values=True, encoding="latin-1")]:
        _set(*pair, into=wanted)
    return Behaviour(**wanted)  # type: ignore[arg-type]


def from_target(target: str, default: Behaviour | None = None) -> Asked:
    """What a request target asks for, in origin or absolute form; `default` when it asks for nothing.

    Raises LookupError for an unknown path, ValueError for a bad parameter, each with one line that names it.
    """
    path, _, query = re.sub("^https?://[^/?]*", "", target).partition("?")
    if default is not None and path in ("", "/", "/ok") and not query:
        return Asked(default.label or "ok", default)
    name, _, value = unquote(path.removeprefix("/") or "help", "latin-1").partition("/")
    if name in PAGES and not value:
        behaviour = from_query(query)
        return Asked(behaviour.label or name, behaviour, name)
    if name not in PARAMETERS and name not in SHORTHANDS:
        raise LookupError(f"{path}: no such behaviour, see /help")
    behaviour = from_query(query, name, value)
    return Asked(behaviour.label or name, behaviour)


def listing() -> str:
    """All that can be asked for, as plain text."""
    rows = [(f"/{name}", text) for name, text in PAGES.items()]
    rows += [(f"/{name}", f"?{text}") for name, text in SHORTHANDS.items()]
    rows += [(f"?{name}=", how["help"]) for name, how in PARAMETERS.items()]
    top = "Ask as /NAME, /NAME/VALUE or ?NAME=VALUE, and combine: /status/503?delay=20ms&chunked\n\n"
    return top + "".join(f"{left:<16} {right}\n" for left, right in rows)
