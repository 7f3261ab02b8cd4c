"""Errors in archives."""

from __future__ import annotations

from heyfleet.errors import InputError


class ArchiveError(InputError):
    """An archive that can't be read: the file, what is wrong with it and, if known, what to do."""
