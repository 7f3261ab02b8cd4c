"""A plan as plain values, for whoever reads a report later; what may be a secret is hidden."""

from __future__ import annotations

import re
from typing import Any

from heyfleet.controller.target import Url
from heyfleet.proto.fleet_pb2 import Plan

SECRET_HEADER = re.compile(r"auth|cookie|token|secret|key|passw|session|signature|credential", re.IGNORECASE)
HIDDEN = "(hidden)"


def echo(plan: Plan) -> dict[str, Any]:
    """What was asked for; a limit that there is not is None."""
    target = plan.target
    url = Url(target.scheme, target.host, target.port, target.request_target, None)
    return {
        "url": f"{url.scheme}://{url.authority}{url.request_target}",
        "method": plan.method,
        "headers": [
            {"name": header.name, "value": HIDDEN if SECRET_HEADER.search(header.name) else header.value}
            for header in plan.headers
        ],
        "body_bytes": len(plan.body),
        "requests": plan.requests or None,
        "duration_ns": plan.duration_ns or None,
        "connections": plan.connections,
        "rate_per_connection": plan.rate_per_connection or None,
        "timeout_ns": plan.timeout_ns or None,
        "disable_keepalive": plan.disable_keepalive,
        "io": plan.io or None,
        "workers": plan.workers or None,
        "sources": list(plan.sources),
    }
