"""Why an agent could not attach to its controller, as branches of the one error tree."""

from __future__ import annotations

from heyfleet.errors import CannotStartError, HeyfleetError


class DeniedError(CannotStartError):
    """The controller refuses this agent, or is not the one that it trusts; another attempt would end the same way."""


class UnreachableError(HeyfleetError):
    """The controller could not be reached, or the stream to it broke; another attempt may succeed."""


def cause_of(error: Exception) -> str:
    """Return one line for people: the system's reason where there is one, without a path that they did not type."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return reason or str(error) or type(error).__name__
