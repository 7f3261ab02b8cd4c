"""The requests of a plan: descriptions from the options, a plan file or a targets file, with all defaults filled in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from heyfleet.errors import InputError
from heyfleet.files import read_file
from heyfleet.mask import mask_text
from heyfleet.plan.octets import to_octets
from heyfleet.plan.options import RunOptions
from heyfleet.plan.request_spec import RequestSpec
from heyfleet.plan.sections.request import DEFAULT_USER_AGENT
from heyfleet.plan.stages import whole_weights
from heyfleet.plan.url import Url, basic
from heyfleet.proto.plan_pb2 import Header, Request, StatusRange

if TYPE_CHECKING:
    from heyfleet.plan.targets_file import Entry

DEFAULT_CONTENT_TYPE = "text/html"
DECODABLE = "gzip, deflate, br, zstd"


def with_request_specs(options: RunOptions, file_requests: Sequence[Mapping[str, Any]] = ()) -> RunOptions:
    """Return the options with the requests of their targets file, or with those of a plan file (`PlanFile.requests`)."""
    if options.targets:
        from heyfleet.plan.targets_file import load

        if file_requests:
            raise InputError("--targets and the requests of a plan file exclude each other")
        url, entries = load(options.targets, options.url)
        return replace(options, url=url, request_specs=tuple(_target_specs(entries, options)))
    specs = tuple(_plan_file_spec(fields, options) for fields in file_requests)
    return replace(options, request_specs=specs) if specs else options


def make_requests(url: Url, options: RunOptions) -> Iterator[Request]:
    """Yield the requests of a plan in their order. Raises InputError."""
    specs = options.request_specs or (_option_spec(options),)
    try:
        weights = whole_weights(spec.weight for spec in specs)
    except ValueError as error:
        raise InputError(str(error)) from None
    occurrences: dict[str, int] = {}
    for spec, weight in zip(specs, weights, strict=True):
        path = url.request_target if spec.path is None else spec.path
        name = _new_name(mask_text(spec.name or f"{spec.method} {path}"), occurrences)
        yield Request(
            name=name,
            weight=weight,
            method=spec.method,
            request_target=path,
            headers=[Header(name=name, value=value) for name, value in _headers(spec, url)],
            body=spec.body,
            expected=[StatusRange(first=first, last=last) for first, last in spec.expected],
        )


def _new_name(name: str, occurrences: dict[str, int]) -> str:
    """Return the name, with a number if it is taken: targets may repeat, and differ in a masked secret only."""
    new = name
    while new in occurrences:
        occurrences[name] += 1
        new = f"{name} ({occurrences[name]})"
    occurrences[new] = 1
    return new


def _option_spec(options: RunOptions) -> RequestSpec:
    """Return the one request that the options describe."""
    body = to_octets(options.body or "")
    return RequestSpec(
        method=options.method,
        headers=options.headers,
        body=read_file(options.body_file, "-D") if options.body_file else body,
        content_type=options.content_type,
        **_common_fields(options),
    )


def _plan_file_spec(fields: Mapping[str, Any], options: RunOptions) -> RequestSpec:
    """Return a request of a plan file; the options fill in what it leaves out."""
    own_fields = {name: fields[name] for name in ("name", "weight", "path", "content_type") if name in fields}
    headers = fields.get("headers", ())
    body = to_octets(fields["body"]) if "body" in fields else b""
    if "body_file" in fields:
        body = read_file(fields["body_file"], f"plan file: request {mask_text(fields['name'])}")
    return RequestSpec(
        method=fields.get("method", options.method),
        headers=_merged_headers(options, headers),
        body=body,
        expected=fields.get("expect", ()),
        **{"content_type": options.content_type, **own_fields},
        **_common_fields(options),
    )


def _target_specs(entries: Iterable[Entry], options: RunOptions) -> Iterator[RequestSpec]:
    """Yield the requests of a targets file."""
    for entry in entries:
        yield RequestSpec(
            name=entry.name,
            weight=entry.weight,
            method=entry.method,
            path=entry.url,
            headers=_merged_headers(options, entry.headers),
            body=entry.body,
            content_type=options.content_type,
            **_common_fields(options),
        )


def _merged_headers(options: RunOptions, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return the headers of -H that a request doesn't replace, then its own."""
    names = {name.lower() for name, _ in headers}
    return tuple(header for header in options.headers if header[0].lower() not in names) + headers


def _common_fields(options: RunOptions) -> dict[str, Any]:
    """Return what the options say about every request, wherever the request is described."""
    return {
        "accept": options.accept,
        "user_agent": options.user_agent or DEFAULT_USER_AGENT,
        "credentials": options.credentials,
        "host": options.host,
        "accept_encoding": _accept_encoding(options),
    }


def _accept_encoding(options: RunOptions) -> str | None:
    """Return what hey asks for, or with --decode every coding that can be decoded."""
    if options.disable_compression:
        return None
    return DECODABLE if options.decode else "gzip"


def _headers(spec: RequestSpec, url: Url) -> list[tuple[str, str]]:
    """Return Host, then the headers of options and defaults that -H doesn't replace, then those of -H in their order."""
    replaced = {name.lower() for name, _ in spec.headers}
    credentials = spec.credentials or url.credentials
    defaults = [
        ("User-Agent", spec.user_agent),
        ("Accept", spec.accept or None),
        ("Accept-Encoding", spec.accept_encoding),
        ("Authorization", basic(credentials) if credentials else None),
        ("Content-Type", spec.content_type or (DEFAULT_CONTENT_TYPE if spec.body else None)),
    ]
    hosts = [value for name, value in spec.headers if name.lower() == "host"]
    if len(hosts) > 1:
        raise InputError("-H: more than one Host; a request has exactly one")
    return [
        ("Host", (hosts or [spec.host or url.authority])[0]),
        *((name, value) for name, value in defaults if value is not None and name.lower() not in replaced),
        *((name, value) for name, value in spec.headers if name.lower() != "host"),
    ]
