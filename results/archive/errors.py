"""What can be wrong with an archive."""

from __future__ import annotations

from heyfleet.errors import InputError


class ArchiveError(InputError):
    """It can't be read: one line with the file, the fault and, where there is one, the cure."""
