"""The errors that people see, as one tree. Libraries raise them, and only the command line prints them.

    HeyfleetError                    1  something went wrong while heyfleet did what was asked
    ├── InputError                   2  what was given can't be used; nothing was sent
    ├── CannotStartError             2  the input is good, but the run can't begin; nothing was sent
    └── DeployError                  1  a host, a cloud or a cluster did not do its part

The number is the exit code of the command. Modules derive their own errors from these where they say more, such as
`plan.plan_file.PlanFileError(InputError)`. Python programs catch HeyfleetError, or one of its branches.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

from heyfleet.text import printable


class ExitCode(IntEnum):
    """What a command's exit code says to a script."""

    OK = 0
    FAULT = 1  # a fault of heyfleet or its surroundings, or a report that does not add up
    CANNOT_START = 2  # bad input; nothing was sent
    NO_RESPONSE = 3  # requests were sent, and none was answered
    INCOMPLETE = 4  # agents were lost; the report says what is missing
    THRESHOLD = 5  # a threshold failed, --abort-on ended the load, or --find-max found no rate
    DIFFERENCE = 6  # `compare --fail-if` is sure that a limit was passed
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


class HeyfleetError(Exception):
    """An error with a cause and, where one is known, a cure: both one line, without a full stop."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAULT

    def __init__(self, cause: str, cure: str = "") -> None:
        super().__init__(cause, cure)
        self.cause = cause
        self.cure = cure

    def __str__(self) -> str:
        """Return cause and cure as one line, in which everything can be seen: they may quote anything."""
        whole = f"{self.cause}; {self.cure}" if self.cure else self.cause
        return printable(" ".join(whole.splitlines()))


class InputError(HeyfleetError):
    """A flag, file, certificate or address that can't be used."""

    exit_code = ExitCode.CANNOT_START


class CannotStartError(HeyfleetError):
    """A run that can't begin although its input is good: too few agents, a target that no agent may load."""

    exit_code = ExitCode.CANNOT_START


class DeployError(HeyfleetError):
    """A host, a cloud or a cluster that did not do its part."""
