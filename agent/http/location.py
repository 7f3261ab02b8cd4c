"""The URL that a Location refers to (RFC 3986, section 5)."""

from __future__ import annotations

import re

from heyfleet.plan.octets import to_text
from heyfleet.plan.url import Url, parse

# RFC 3986, appendix B. A group that is None is a component that is missing; an empty one is there, and stays.
_REFERENCE = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):)?(?://(?P<authority>[^/?#]*))?(?P<path>[^?#]*)"
    r"(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?",
    re.DOTALL,
)


def resolve_location(base: Url, location: bytes) -> tuple[Url, bool]:
    """Return the URL of a Location, and whether it names the host itself. Raises ValueError for one that is not http(s).

    Servers that write spaces mean %20, as browsers and Go's client take it.
    """
    reference = to_text(location).replace(" ", "%20")
    return parse(resolve(str(base), reference)), _split(reference)["authority"] is not None


def resolve(base: str, reference: str) -> str:
    """Return a reference as an absolute URI, as section 5.2.2 transforms it and section 5.3 composes it."""
    parts, origin = _split(reference), _split(base)
    if parts["scheme"] is None:
        parts["scheme"] = origin["scheme"]
        if parts["authority"] is None:
            parts["authority"] = origin["authority"]
            if not parts["path"]:
                parts["path"] = origin["path"]
                if parts["query"] is None:
                    parts["query"] = origin["query"]
                return _compose(parts)
            if not parts["path"].startswith("/"):
                parts["path"] = _merge(origin, parts["path"])
    parts["path"] = _remove_dot_segments(parts["path"] or "")
    return _compose(parts)


def _split(uri: str) -> dict[str, str | None]:
    match = _REFERENCE.fullmatch(uri)
    assert match is not None  # every text is a reference
    return match.groupdict()


def _compose(parts: dict[str, str | None]) -> str:
    uri = f"{parts['scheme']}:"
    if parts["authority"] is not None:
        uri += f"//{parts['authority']}"
    uri += parts["path"] or ""
    if parts["query"] is not None:
        uri += f"?{parts['query']}"
    return uri if parts["fragment"] is None else f"{uri}#{parts['fragment']}"


def _merge(base: dict[str, str | None], path: str) -> str:
    """Return a relative path below the folder of the base's path (section 5.2.3)."""
    base_path = base["path"] or ""
    if base["authority"] is not None and not base_path:
        return f"/{path}"
    return base_path[: base_path.rfind("/") + 1] + path


def _remove_dot_segments(path: str) -> str:
    """Return a path without . and .. (section 5.2.4); empty segments stay."""
    segments = path.split("/")
    kept: list[str] = []
    for segment in segments[1:] if path.startswith("/") else segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return ("/" if path.startswith("/") else "") + "/".join(kept)
