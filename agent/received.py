"""Check what a controller sends, before the agent acts on it: names, lengths of time and instants have bounds."""

from __future__ import annotations

from heyfleet.agent.errors import DeniedError
from heyfleet.durations import format_duration
from heyfleet.errors import HeyfleetError
from heyfleet.plan.run_id import check_run_id
from heyfleet.plan.validation import validate_assignment
from heyfleet.proto.control_pb2 import ToAgent, Welcome
from heyfleet.proto.protocol import LEASE_NS_AT_LEAST, LEASE_NS_AT_MOST, OFFERS_AT_MOST
from heyfleet.text import shorten

# How far a start may lie from the agent's clock: it is sent a moment ahead, and clocks are synchronized.
_START_NS_FROM_NOW = 60_000_000_000
_MAX_SEAL_BYTES = 1024


class InvalidMessageError(HeyfleetError):
    """A message that no agent can act on; it is about one run."""


def check_message(message: ToAgent, agent: str, now_ns: int) -> None:
    """Check a message to this agent at an instant of its clock, and shorten its reasons, which are for the log.

    Raises InvalidMessageError or InvalidPlanError for a message about a run, and DeniedError for a controller that can't be
    served at all.
    """
    if message.run_id:
        _check_run_id(message.run_id)
    match message.WhichOneof("message"):
        case "welcome":
            _check_welcome(message.welcome)
        case "ack" if message.ack.refusal_reason:
            message.ack.refusal_reason = shorten(message.ack.refusal_reason)
        case "dismissal":
            message.dismissal.reason = shorten(message.dismissal.reason)
        case "assignment":
            assignment = message.assignment
            validate_assignment(assignment)
            if assignment.run_id != message.run_id:
                raise InvalidMessageError(f"the assignment is for another run, {assignment.run_id}")
            if assignment.agent != agent:
                raise InvalidMessageError(f"the assignment is for another agent, {assignment.agent}")
        case "start":
            if len(message.start.seal) > _MAX_SEAL_BYTES:
                raise InvalidMessageError(f"the start has a seal of more than {_MAX_SEAL_BYTES} bytes")
            ahead_ns = message.start.at_ns - now_ns
            if abs(ahead_ns) > _START_NS_FROM_NOW:
                raise InvalidMessageError(
                    f"the start is {abs(ahead_ns) / 1e9:g} s {'ahead' if ahead_ns > 0 else 'past'} by this host's clock"
                )


def _check_welcome(welcome: Welcome) -> None:
    if welcome.lease_ns and not LEASE_NS_AT_LEAST <= welcome.lease_ns <= LEASE_NS_AT_MOST:
        raise DeniedError(
            f"the controller grants a lease of {welcome.lease_ns / 1e9:g} s, and agents accept"
            f" {format_duration(LEASE_NS_AT_LEAST)} to {format_duration(LEASE_NS_AT_MOST)}",
            "set its --lease",
        )
    run_ids = [resume.run_id for resume in welcome.resume_from]
    if len(run_ids) > OFFERS_AT_MOST or len(set(run_ids)) < len(run_ids):
        raise DeniedError(
            f"the controller asks for the results of {len(run_ids)} runs; agents offer {OFFERS_AT_MOST}, each once"
        )
    for run_id in run_ids:
        _check_run_id(run_id)


def _check_run_id(text: str) -> None:
    try:
        check_run_id(text)
    except ValueError as error:
        raise InvalidMessageError(str(error)) from None
