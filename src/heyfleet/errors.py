"""What goes wrong because of what was asked."""

from __future__ import annotations


class InputError(Exception):
    """What was asked for can't be done: one line that names the cause and the cure."""
