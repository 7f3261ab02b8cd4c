"""The fleet options of a run."""

from __future__ import annotations

from dataclasses import dataclass

from heyfleet.errors import InputError
from heyfleet.proto.control_pb2 import RunRequest
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.protocol import MESSAGE_BYTES_AT_MOST

_MIB = 1 << 20
# A plan travels within a message; this leaves more than enough for the rest of it.
_MAX_PLAN_BYTES = MESSAGE_BYTES_AT_MOST - _MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """The fleet options of `heyfleet run`."""

    agents: int = 0
    min_agents: int = 0
    local_agents: int = 0
    join_timeout_ns: int = 600_000_000_000
    lost_timeout_ns: int = 15_000_000_000
    lease_ns: int = 10_000_000_000
    listen: str = ""
    controller: str = ""
    credentials_folder: str = ""
    join_files: str = ""
    per_agent: bool = False
    quiet: bool = False
    spool: str = ""

    def request(self, plan: Plan) -> RunRequest:
        """Return the request for a run. Raises InputError if the plan is too large for a message."""
        if plan.ByteSize() > _MAX_PLAN_BYTES:
            raise InputError(
                f"the plan with its bodies and data has {plan.ByteSize() / _MIB:.1f} MiB, and agents accept"
                f" {_MAX_PLAN_BYTES // _MIB} MiB",
                "make -D or --data smaller, or run without a fleet, which has no limit",
            )
        return RunRequest(
            plan=plan,
            agents=self.local_agents or self.agents,
            min_agents=self.min_agents,
            join_timeout_ns=self.join_timeout_ns,
            lost_timeout_ns=self.lost_timeout_ns,
            per_agent=self.per_agent,
        )
