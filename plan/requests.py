"""The requests of a plan: what flags and plan files say of them, with what follows from that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heyfleet.errors import InputError
from heyfleet.plan import url as target
from heyfleet.plan.stages import Weight, whole_weights
from heyfleet.proto.plan_pb2 import Header, Request, StatusRange

if TYPE_CHECKING:
    from heyfleet.plan.build import Flags
    from heyfleet.plan.targets_file import Entry

CONTENT_TYPE = "text/html"
ACCEPTED_TO_DECODE = "gzip, deflate, br, zstd"
FILE_BYTES_AT_MOST = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSpec:
    """One request as it was asked for; None: not said."""

    name: str = ""
    weight: Weight = (1, 1)
    method: str = "GET"
    path: str | None = None  # None: that of the URL
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str | None = None
    accept: str | None = None
    user_agent: str
    credentials: str | None = None
    host: str | None = None
    accept_encoding: str | None = None
    expected: tuple[tuple[int, int], ...] = ()


def of_all(flags: Flags) -> dict[str, Any]:
    """What flags say of every request, wherever it is described."""
    return {
        "accept": flags.accept,
        "user_agent": flags.user_agent,
        "credentials": flags.credentials,
        "host": flags.host,
        "accept_encoding": _accept_encoding(flags),
    }


def _accept_encoding(flags: Flags) -> str | None:
    """As hey asks; what is decoded may come in any coding that we know."""
    if flags.disable_compression:
        return None
    return ACCEPTED_TO_DECODE if flags.decode else "gzip"


def of_file(fields: dict[str, Any], flags: Flags) -> RequestSpec:
    """One of a plan file's requests; what it does not say is as the flags have it."""
    given = {name: fields[name] for name in ("name", "weight", "path", "content_type") if name in fields}
    own = fields.get("headers", ())
    names = {name.lower() for name, _ in own}
    body = fields["body"].encode() if "body" in fields else b""
    if "body_file" in fields:
        body = read_file(fields["body_file"], fields["name"])
    return RequestSpec(
        method=fields.get("method", flags.method),
        headers=tuple(header for header in flags.headers if header[0].lower() not in names) + tuple(own),
        body=body,
        expected=fields.get("expect", ()),
        **{"content_type": flags.content_type, **given},
        **of_all(flags),
    )


def of_targets(entries: Iterable[Entry], flags: Flags) -> Iterator[RequestSpec]:
    """A targets file's requests; headers of the flags are for all that have no such header of their own."""
    seen: dict[str, int] = {}
    for entry in entries:
        own = {name.lower() for name, _ in entry.headers}
        name = entry.name or f"{entry.method} {entry.url}"
        seen[name] = seen.get(name, 0) + 1
        yield RequestSpec(
            name=name if seen[name] == 1 else f"{name} ({seen[name]})",
            weight=entry.weight,
            method=entry.method,
            path=entry.url,
            headers=tuple(header for header in flags.headers if header[0].lower() not in own) + entry.headers,
            body=entry.body,
            content_type=flags.content_type,
            **of_all(flags),
        )


def make_mix(url: target.Url, wanted: Iterable[RequestSpec]) -> Iterator[Request]:
    """The requests in their order; InputError."""
    wanted = list(wanted)
    try:
        weights = whole_weights(request.weight for request in wanted)
    except ValueError as error:
        raise InputError(str(error)) from None
    for request, weight in zip(wanted, weights, strict=True):
        path = url.request_target if request.path is None else request.path
        yield Request(
            name=request.name or f"{request.method} {path}",
            weight=weight,
            method=request.method,
            request_target=path,
            headers=[Header(name=name, value=value) for name, value in _headers(request, url)],
            body=request.body,
            expected=[StatusRange(first=first, last=last) for first, last in request.expected],
        )


def read_file(path: str, who: str) -> bytes:
    """The bytes of a file; InputError names who wanted it."""
    try:
        with open(path, "rb") as file:
            # Not more than the limit even of what has no end.
            octets = file.read(FILE_BYTES_AT_MOST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{who}: can't read {path!r}: {reason}") from None
    if len(octets) > FILE_BYTES_AT_MOST:
        raise InputError(f"{who}: {path!r} is larger than {FILE_BYTES_AT_MOST >> 20} MiB")
    return octets


def _headers(request: RequestSpec, url: target.Url) -> list[tuple[str, str]]:
    """Host first; then what flags and defaults make, unless -H names the same; then -H, in its order."""
    given = {name.lower() for name, _ in request.headers}
    credentials = request.credentials or url.credentials
    made = [
        ("User-Agent", request.user_agent),
        ("Accept", request.accept or None),
        ("Accept-Encoding", request.accept_encoding),
        ("Authorization", target.basic(credentials) if credentials else None),
        ("Content-Type", request.content_type or (CONTENT_TYPE if request.body else None)),
    ]
    hosts = [value for name, value in request.headers if name.lower() == "host"]
    if len(hosts) > 1:
        raise InputError("-H: more than one Host; a request has exactly one")
    return [
        ("Host", (hosts or [request.host or url.authority])[0]),
        *((name, value) for name, value in made if value is not None and name.lower() not in given),
        *((name, value) for name, value in request.headers if name.lower() != "host"),
    ]
