"""A plan's requests in the form that the engine takes: bytes, or the segments of a template."""

from __future__ import annotations

from collections.abc import Sequence

from heyfleet.agent.http.proxy import request_through_proxy, target_url
from heyfleet.agent.http.request import IDEMPOTENT, render, render_http2
from heyfleet.agent.http.template import Compiler, Segment
from heyfleet.proto.plan_pb2 import Plan

# The rendered request, whether its responses have no body, and whether it may be sent twice.
Message = tuple[bytes | list[Segment], bool, bool]


def render_plan(plan: Plan, http2: bool) -> tuple[list[Message], list[list[bytes]]]:
    """Render a plan's requests, and the data columns that their placeholders refer to.

    Raises ValueError for a request that a proxy, or a frame of HTTP/2, can't take.
    """
    compiler = Compiler(plan)
    requests = [request_through_proxy(plan, request, target_url(plan, request)) for request in plan.requests]
    rendered: Sequence[bytes | list[Segment]]
    if plan.template:
        compile_request = compiler.http2 if http2 else compiler.http1
        rendered = [compile_request(request) for request in requests]
    elif http2:
        rendered = render_http2(plan.requests, plan.target.scheme)
    else:
        rendered = [render(request, close=plan.disable_keepalive) for request in requests]
    messages = [
        (data, request.method == "HEAD", request.method in IDEMPOTENT)
        for data, request in zip(rendered, plan.requests, strict=True)
    ]
    return messages, compiler.columns
