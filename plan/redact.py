"""A plan for reports and archives, with everything that may be a secret replaced."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from heyfleet.errors import InputError
from heyfleet.mask import HIDDEN, is_secret, mask_header, mask_text
from heyfleet.plan.options import OPTIONS
from heyfleet.plan.url import Url
from heyfleet.proto.plan_pb2 import (
    CONNECTION_RATE,
    HTTP_2,
    IPV4,
    IPV6,
    Column,
    LoadModel,
    Plan,
    Request,
    Think,
    Tls,
)

_MAX_BODY_BYTES = 4096
_NAMING_FIELDS = ("name", "key", "field", "header")  # whose value names what the others hold
_FORMATTED = re.compile(r"""[=:"<{]""")
_FORM = re.compile(r"[^=&\s]+=[^&\s]*(?:&[^=&\s]+=[^&\s]*)*&?\s*")
_REWRITTEN_FIELDS = frozenset({"poisson", "think", "proxy"})  # `echo` has them in words of its own
_Message = TypeVar("_Message", Plan, Request)


def echo(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain values for the JSON report; a limit that isn't set is None."""
    return {
        "url": target_url(plan),
        "requests": [_request(plan, request) for request in plan.requests],
        "request_count": plan.request_count or None,
        "duration_ns": plan.duration_ns or None,
        "connections": plan.connections,
        "load_model": LoadModel.Name(plan.load_model).lower(),
        "stages": [
            {
                "name": stage.name,
                "duration_ns": stage.duration_ns or None,
                "first": stage.first,
                "last": stage.last,
            }
            for stage in plan.stages
        ],
        "rate_per_connection": plan.stages[0].first / plan.connections
        if plan.load_model == CONNECTION_RATE
        else None,
        "arrivals": "poisson" if plan.poisson else "constant",
        "seed": plan.seed or None,
        "think": _think(plan.think),
        "tls": _tls(plan.tls) if plan.HasField("tls") else None,
        "resolve": [
            {
                "host": rule.host or None,
                "port": rule.port or None,
                "to_hosts": list(rule.to_hosts),
                "to_port": rule.to_port or None,
            }
            for rule in plan.resolve
        ],
        "proxy": _proxy(plan),
        "family": {IPV4: 4, IPV6: 6}.get(plan.family),
        "template": plan.template,
        "data_rows": len(plan.data[0].values) if plan.data else None,
        "http": "2" if plan.http == HTTP_2 else "1.1",
        **_copied_fields(plan),
    }


def _copied_fields(plan: Plan) -> dict[str, Any]:
    """Return the plain fields that the plan takes from options as they are; numbers and texts that aren't set are None."""
    fields: dict[str, Any] = {}
    for option in OPTIONS:
        if not option.plan_field or option.plan_field in _REWRITTEN_FIELDS:
            continue
        value = getattr(plan, option.plan_field)
        if isinstance(value, bool):
            fields[option.plan_field] = value
        elif isinstance(value, int | float | str):
            fields[option.plan_field] = value or None
        else:
            fields[option.plan_field] = list(value)
    return fields


def target_url(plan: Plan) -> str:
    """Return the URL of the plan's first request, without secrets."""
    return _request_url(plan, plan.requests[0].request_target if plan.requests else "")


def _request_url(plan: Plan, request_target: str) -> str:
    target = plan.target
    return str(Url(target.scheme, target.host, target.port, mask_text(request_target), None))


def without_secrets(plan: Plan) -> Plan:
    """Return a copy of the plan for a file that others may read: secrets are hidden, large bodies and data left out."""
    copy = _copy_without(plan, "requests", "data")
    for request in plan.requests:
        safe = _copy_without(request, "body")
        for header in safe.headers:
            header.value = mask_header(header.name, header.value)
        safe.request_target = mask_text(request.request_target)
        safe.body = mask_body(request.body)
        if safe.body != request.body:
            safe.body_bytes = _body_bytes(request)
        copy.requests.append(safe)
    if copy.proxy.credentials:
        copy.proxy.credentials = HIDDEN
    if copy.HasField("tls"):
        copy.tls.key_pem = HIDDEN.encode() if copy.tls.key_pem else b""
    copy.data.extend(Column(values=[b""] * len(column.values)) for column in plan.data[:1])
    return copy


def check_nothing_hidden(plan: Plan) -> None:
    """Refuse a plan copied from a report or an archive, whose secrets are not there. Raises InputError."""
    for request in plan.requests:
        hidden = [f"the header {header.name}" for header in request.headers if header.value == HIDDEN]
        if f"={HIDDEN}" in request.request_target:
            hidden.append("a parameter of the URL")
        if any(sign + HIDDEN.encode() in request.body for sign in (b"=", b'"')):
            hidden.append("a field of the body")
        if hidden:
            raise InputError(
                f"{request.name}: {hidden[0]} is {HIDDEN}, which stands for a secret that was not kept",
                "give its value again",
            )


def mask_body(body: bytes) -> bytes:
    """Return a body without the values of secret fields, in JSON or a form.

    A body that is long, not text, or that mentions a secret in another format is replaced by its size.
    """
    size = f"({len(body)} bytes)".encode()
    if len(body) > _MAX_BODY_BYTES:
        return size
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return size
    if text.lstrip()[:1] in ("{", "["):
        import json  # most commands have no body

        from heyfleet.documents import parse_json

        try:
            value = parse_json(text)
            masked = _mask_json(value)
        except ValueError:
            if "\\u" in text:  # names may be escaped
                return size
        else:
            return body if masked == value else json.dumps(masked).encode()
    if _FORM.fullmatch(text):
        return mask_text(text).encode()
    return size if any(map(is_secret, re.findall(r"[\w.%-]+", text))) else mask_text(text).encode()


def _mask_json(value: Any) -> Any:
    if isinstance(value, dict):
        # {"name": "password", "value": ...}
        named = next((name for name in _NAMING_FIELDS if is_secret(str(value.get(name, "")))), None)
        if named:
            return {name: each if name == named else HIDDEN for name, each in value.items()}
        return {name: HIDDEN if is_secret(name) else _mask_json(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_mask_json(each) for each in value]
    if isinstance(value, str) and _FORMATTED.search(value):  # a body within a body: JSON, GraphQL
        return mask_body(value.encode("utf-8", "surrogatepass")).decode()
    return mask_text(value) if isinstance(value, str) else value


def _copy_without(message: _Message, *names: str) -> _Message:
    """Return a copy without these fields, which may be too large to copy and clear."""
    copy = type(message)()
    for field, value in message.ListFields():
        if field.name in names:
            continue
        if field.is_repeated:
            getattr(copy, field.name).extend(value)
        elif field.message_type:
            getattr(copy, field.name).CopyFrom(value)
        else:
            setattr(copy, field.name, value)
    return copy


def _request(plan: Plan, request: Request) -> dict[str, Any]:
    return {
        "name": request.name,
        "weight": request.weight,
        "method": request.method,
        "url": _request_url(plan, request.request_target),
        "headers": [
            {"name": header.name, "value": mask_header(header.name, header.value)}
            for header in request.headers
        ],
        "body_bytes": _body_bytes(request),
        "expected": [[statuses.first, statuses.last] for statuses in request.expected],
    }


def _body_bytes(request: Request) -> int:
    return request.body_bytes or len(request.body)


def _proxy(plan: Plan) -> dict[str, Any] | None:
    if not plan.HasField("proxy"):
        return None
    proxy = plan.proxy
    return {"host": proxy.host, "port": proxy.port, "credentials": HIDDEN if proxy.credentials else None}


def _tls(tls: Tls) -> dict[str, Any]:
    return {
        "name": tls.name,
        "verified": not tls.insecure,
        "authorities": "given" if tls.ca_pem else "system",
        "client_certificate": bool(tls.certificate_pem),
        "resume": not tls.no_resume,
        "version": tls.version or None,
    }


def _think(think: Think) -> dict[str, Any] | None:
    if think.kind == Think.NONE:
        return None
    return {"kind": Think.Kind.Name(think.kind).lower(), "low_ns": think.low_ns, "high_ns": think.high_ns}
