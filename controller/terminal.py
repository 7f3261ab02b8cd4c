"""The former names of heyfleet.console, for modules that have not moved to it yet."""

from __future__ import annotations

from heyfleet.console import error as complain
from heyfleet.console import info as say
from heyfleet.console import write_stdout as write_out

__all__ = ["complain", "say", "write_out"]
