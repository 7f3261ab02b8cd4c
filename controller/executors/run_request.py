"""The request that a fleet gets, from the fleet options of a run."""

from __future__ import annotations

from heyfleet.errors import InputError
from heyfleet.plan.sections.fleet import FleetOptions
from heyfleet.proto.control_pb2 import RunRequest
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.protocol import MESSAGE_BYTES_AT_MOST

_MIB = 1 << 20
# A plan travels within a message; this leaves more than enough for the rest of it.
_MAX_PLAN_BYTES = MESSAGE_BYTES_AT_MOST - _MIB


def run_request(options: FleetOptions, plan: Plan) -> RunRequest:
    """Return the request for a run on a fleet. Raises InputError if the plan is too large for a message."""
    if plan.ByteSize() > _MAX_PLAN_BYTES:
        raise InputError(
            f"the plan with its bodies and data has {plan.ByteSize() / _MIB:.1f} MiB, and agents accept"
            f" {_MAX_PLAN_BYTES // _MIB} MiB",
            "make -D or --data smaller, or run without a fleet, which has no limit",
        )
    return RunRequest(
        plan=plan,
        agents=options.local_agents or options.agents,
        min_agents=options.min_agents,
        join_timeout_ns=options.join_timeout_ns,
        lost_timeout_ns=options.lost_timeout_ns,
        per_agent=options.per_agent,
    )
