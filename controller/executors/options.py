"""From the fleet options of a run to the request that a fleet gets."""

from __future__ import annotations

from heyfleet.errors import InputError
from heyfleet.plan.sections.fleet import FleetOptions
from heyfleet.proto.control_pb2 import RunRequest
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.protocol import MESSAGE_BYTES_AT_MOST

# 1 MiB is more than enough for everything in a message beside the plan.
_MAX_PLAN_BYTES = MESSAGE_BYTES_AT_MOST - (1 << 20)


def run_request(options: FleetOptions, plan: Plan) -> RunRequest:
    """Return the request for a run on a fleet. Raises InputError if the plan is too large for a message."""
    if plan.ByteSize() > _MAX_PLAN_BYTES:
        raise InputError(
            f"the plan has {plan.ByteSize() / 2**20:.1f} MiB with its bodies and data; agents accept up to "
            f"{_MAX_PLAN_BYTES >> 20} MiB",
            "make -D or --data smaller, or run it without a fleet, which has no limit",
        )
    return RunRequest(
        plan=plan,
        agents=options.local_agents or options.agents,
        min_agents=options.min_agents,
        join_timeout_ns=options.join_timeout_ns,
        lost_timeout_ns=options.lost_timeout_ns,
        per_agent=options.per_agent,
    )
