"""Seals of shares, by which a controller knows the runs that an earlier controller of the same CA began.

An agent holds a run's results until they are collected, perhaps by a controller that has never heard of the run. That one
knows the agent's share only from the agent, who may have made it up. So a share travels with a seal that only an owner of
the CA's key can make. It is sent with the start: an agent that took no part has none.
"""

from __future__ import annotations

import hashlib
import hmac

from heyfleet.proto.plan_pb2 import Assignment, Plan


class ShareSeals:
    """Makes and checks seals with a secret `key`."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, assignment: Assignment, plan_digest: bytes) -> bytes:
        """Return the seal of an agent's share of a plan, of which `plan_digest` is given."""
        share = Assignment()
        share.CopyFrom(assignment)
        share.ClearField("plan")
        return hmac.digest(self._key, plan_digest + share.SerializeToString(deterministic=True), "sha256")

    def is_genuine(self, assignment: Assignment, seal: bytes) -> bool:
        """Whether a controller with the same key has started this share."""
        return hmac.compare_digest(seal, self.seal(assignment, digest_plan(assignment.plan)))


def digest_plan(plan: Plan) -> bytes:
    """Return a digest of a whole plan, which is made once for all of its shares."""
    return hashlib.sha256(plan.SerializeToString(deterministic=True)).digest()
