"""Plans as messages, valid as they are, for tests of what receives them."""

from __future__ import annotations

from typing import Any

from heyfleet.proto.plan_pb2 import Assignment, Header, Plan, Request, Target


def get(path: str = "/", **fields: Any) -> Request:
    """Return a request for a path."""
    values = {"name": f"GET {path}", "weight": 1, "method": "GET", "request_target": path, **fields}
    return Request(**{"headers": [Header(name="Host", value="localhost")], **values})


def plan(**fields: Any) -> Plan:
    """Return a plan of one request, sent ten times over one connection; fields replace what it has."""
    values = {
        "target": Target(scheme="http", host="127.0.0.1", port=80),
        "requests": [get()],
        "request_count": 10,
        "connections": 1,
        **fields,
    }
    return Plan(**values)


def whole(of: Plan, **fields: Any) -> Assignment:
    """Return the assignment of a whole plan to the agent a1."""
    values = {
        "run_id": "r1",
        "agent": "a1",
        "plan": of,
        "request_count": of.request_count,
        "connections": of.connections,
        "trace_rows": of.trace_rows,
        **fields,
    }
    return Assignment(**values)
