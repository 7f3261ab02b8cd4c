"""Checks of what a plan sends: its requests as they go out, and the data of their placeholders. They raise ValueError."""

from __future__ import annotations

import re
from collections.abc import Iterable

from heyfleet.plan import places, template, values
from heyfleet.plan.octets import to_text
from heyfleet.plan.url import WHOLE_SERVER, parse_request_target
from heyfleet.proto.plan_pb2 import Plan, Request

# Octets that end a header, and with it the request.
HEADER_BREAKS = re.compile(r"[\r\n\0]")
_HEADER_BREAK_OCTETS = re.compile(rb"[\r\n\0]")
_MAX_HEADERS = 1000
_MAX_RANGES = 100
# A host that takes a plan apart does nothing else meanwhile, and has leases to keep.
_MAX_PLACEHOLDERS = 100_000
_LOWEST_STATUS, _HIGHEST_STATUS = 100, 999


def check_request(request: Request, *, is_template: bool) -> None:
    """Check method, target, header and expected statuses of a request."""
    if values.parse_method(request.method) != request.method:
        raise ValueError(f"the method {request.method!r} must be in capitals")
    if request.body_bytes:
        raise ValueError("its body was left out of this copy; a plan to execute has the body itself")
    _check_request_target(request, is_template=is_template)
    _check_headers(request, is_template=is_template)
    if len(request.expected) > _MAX_RANGES:
        raise ValueError(f"{len(request.expected)} ranges of expected statuses are more than {_MAX_RANGES}")
    for status in request.expected:
        if not _LOWEST_STATUS <= status.first <= status.last <= _HIGHEST_STATUS:
            raise ValueError(f"{status.first} to {status.last} is not a range of status codes")


def _check_request_target(request: Request, *, is_template: bool) -> None:
    target = request.request_target
    if target == WHOLE_SERVER and request.method != "OPTIONS":
        raise ValueError("only OPTIONS can ask about the whole server; give a path")
    if not target.startswith("/") and target != WHOLE_SERVER:
        # A proxy gets the URL: right behind its host, a placeholder with the value .test or @test would make another host.
        raise ValueError(f"the path {target[:80]!r} does not begin with /; the host is the one of url")
    fixed = _fixed_text(target) if is_template else target
    if parse_request_target(fixed) != fixed:
        raise ValueError(f"the path {target[:80]!r} must be percent-encoded, and end before its fragment")


def _check_headers(request: Request, *, is_template: bool) -> None:
    if len(request.headers) > _MAX_HEADERS:
        raise ValueError(f"{len(request.headers)} headers are more than {_MAX_HEADERS}")
    for header in request.headers:
        values.parse_header(f"{header.name}:{header.value}")
    hosts = [header.value for header in request.headers if header.name.lower() == "host"]
    if len(hosts) != 1:
        raise ValueError(f"it has {len(hosts)} Host headers; a request has exactly one")
    places.check_host_header(_fixed_text(hosts[0]) if is_template else hosts[0])


def check_placeholders(plan: Plan) -> None:
    """Check that a plan has no more placeholders than can be taken apart in a moment, before that is done."""
    left = _MAX_PLACEHOLDERS
    for request in plan.requests if plan.template else ():
        for text in (
            request.request_target,
            to_text(request.body),
            *(each.value for each in request.headers),
        ):
            left -= template.count(text, left + 1)
            if left < 0:
                raise ValueError(f"the plan has more than {_MAX_PLACEHOLDERS} placeholders")


def check_data(plan: Plan) -> None:
    """Check placeholders, and the columns that they take their values from."""
    names = [column.name for column in plan.data]
    if len(set(names)) < len(names):
        raise ValueError("two columns have the same name")
    rows = {len(column.values) for column in plan.data}
    if len(rows) > 1 or 0 in rows:
        raise ValueError("its columns must have the same number of values, and at least one")
    if not plan.template:
        if plan.data or plan.data_once:
            raise ValueError("rows are of no use without placeholders")
        return
    if plan.data_once and (not rows or not 0 < plan.request_count <= min(rows)):
        raise ValueError(
            f"{plan.request_count} requests can't use each row once: there are {max(rows, default=0)} rows"
        )
    in_headers = _check_placeholders(plan, set(names))
    for column in plan.data:
        if column.name in in_headers and any(map(_HEADER_BREAK_OCTETS.search, column.values)):
            raise ValueError(f"the column {column.name!r} is used in a header, which can't hold a line break")


def _check_placeholders(plan: Plan, known: set[str]) -> set[str]:
    """Check that placeholders name known columns; return the columns that stand in headers."""
    used_in_headers: set[str] = set()
    for request in plan.requests:
        in_headers = _columns(header.value for header in request.headers)
        elsewhere = _columns((request.request_target, to_text(request.body)))
        if unknown := (in_headers | elsewhere) - known:
            raise ValueError(f"{request.name}: there is no column {min(unknown)!r}")
        used_in_headers |= in_headers
    return used_in_headers


def _columns(texts: Iterable[str]) -> set[str]:
    return {value.column for text in texts for value in template.values(text) if value.kind == "csv"}


def _fixed_text(text: str) -> str:
    """Return a template's text between its placeholders. Raises TemplateError, a ValueError."""
    return "".join(piece for piece in template.parse(text) if isinstance(piece, str))
