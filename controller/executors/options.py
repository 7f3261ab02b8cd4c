"""How the flags of a run describe its fleet."""

from __future__ import annotations

from dataclasses import dataclass

from heyfleet.errors import InputError
from heyfleet.proto.control_pb2 import RunRequest
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.protocol import MESSAGE_BYTES_AT_MOST

# What is left of a message beside the plan is more than enough for all else in it.
_PLAN_BYTES_AT_MOST = MESSAGE_BYTES_AT_MOST - (1 << 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """The flags of a run that are about the fleet."""

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
        """What is asked of a fleet, as a message; InputError where that would be larger than one may be."""
        if plan.ByteSize() > _PLAN_BYTES_AT_MOST:
            raise InputError(
                f"the plan has {plan.ByteSize() / 2**20:.1f} MiB with its bodies and data, and agents take up to "
                f"{_PLAN_BYTES_AT_MOST >> 20}: make -D or --data smaller, or run it on this host alone, which has no limit"
            )
        return RunRequest(
            plan=plan,
            agents=self.local_agents or self.agents,
            min_agents=self.min_agents,
            join_timeout_ns=self.join_timeout_ns,
            lost_timeout_ns=self.lost_timeout_ns,
            per_agent=self.per_agent,
        )
