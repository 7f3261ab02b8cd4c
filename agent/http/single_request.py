"""Requests that everybody reads as one request, and as one to the place that it was checked for.

The limits of a host's owner depend on that: a proxy could forward a second request to anywhere, and a server could answer more
requests than the engine counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from heyfleet.mask import mask_text
from heyfleet.plan.template import parse
from heyfleet.plan.url import WHOLE_SERVER
from heyfleet.proto.plan_pb2 import Plan, Request

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FRAMING_FIELDS = frozenset({"content-length", "transfer-encoding"})
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def check_single_request(plan: Plan, request: Request) -> None:
    """Raise ValueError for what a server or a proxy could read as several requests, or as one to another URL.

    Only a proxy and an agent with --max-rate need that; otherwise, a plan may send what it likes.
    """
    description = (
        f"{request.method} {mask_text(request.request_target)!r} could be read as another request than it is"
    )
    path = "".join(_possible_texts(plan, request.request_target))
    # The path itself, as a placeholder at its begin could add to the host.
    is_path = request.request_target.startswith("/") or request.request_target == WHOLE_SERVER
    if not _TOKEN.fullmatch(request.method) or not is_path or re.search(r"\s|[\x00-\x1f]", path):
        raise ValueError(f"{description}: its method or path is not valid")
    for header in request.headers:
        value = "".join(_possible_texts(plan, header.value))
        if (
            not _TOKEN.fullmatch(header.name)
            or header.name.lower() in _FRAMING_FIELDS
            or _CONTROL.search(value)
        ):
            raise ValueError(
                f"{description}: its field {header.name!r} has no valid name, contains a line break or sets the body's length"
            )


def _possible_texts(plan: Plan, text: str) -> Iterator[str]:
    """Yield the fixed parts of a text, and a line break for each data value that contains one.

    Spaces of data values do not matter: in a URL they are percent-encoded.
    """
    for piece in parse(text) if plan.template else [text]:
        if isinstance(piece, str):
            yield piece
        elif piece.kind == "csv":
            values = (value for column in plan.data if column.name == piece.column for value in column.values)
            yield from ("\n" for value in values if b"\r" in value or b"\n" in value)
