"""One request as the command line, a plan file or a targets file describes it, before defaults are filled in."""

from __future__ import annotations

from dataclasses import dataclass

from heyfleet.plan.stages import Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSpec:
    """The description of one request; None stands for a value that was not given."""

    name: str = ""  # "" for method and path
    weight: Weight = (1, 1)
    method: str = "GET"
    path: str | None = None  # None for the path of the URL
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str | None = None
    accept: str | None = None
    user_agent: str
    credentials: str | None = None
    host: str | None = None
    accept_encoding: str | None = None
    expected: tuple[tuple[int, int], ...] = ()  # ranges of status codes, both ends included
