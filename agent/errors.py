"""Why an agent could not attach to its controller, as branches of the one error tree."""

from __future__ import annotations

from heyfleet.errors import CannotStartError, HeyfleetError


class DeniedError(CannotStartError):
    """The controller refuses this agent, or is not the one that it trusts; another attempt would end the same way."""


class UnreachableError(HeyfleetError):
    """The controller could not be reached, or the stream to it broke; another attempt may succeed."""
