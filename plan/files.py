"""Files that a plan names: bodies, targets, data and certificates."""

from __future__ import annotations

from heyfleet.errors import InputError
from heyfleet.plan.mask import mask_text

MAX_FILE_BYTES = 1 << 30


def read_file(path: str, source: str) -> bytes:
    """Return the bytes of a file. The InputError of an unreadable one begins with `source`, the flag or line that named it."""
    try:
        with open(path, "rb") as file:
            # A device or pipe may have no end, so never read more than the limit.
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{source}: can't read {mask_text(path)!r}: {reason}") from None
    if len(content) > MAX_FILE_BYTES:
        raise InputError(f"{source}: {mask_text(path)!r} is larger than {MAX_FILE_BYTES >> 20} MiB")
    return content
