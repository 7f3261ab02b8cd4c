"""What the surroundings of a process do to it: failures of the operating system, and signals that end it.

What heyfleet expects to fail, it reports where it fails. `translate` is the one place for everything else that the
operating system refuses, so that "fault:" is left for faults of heyfleet itself.
"""

from __future__ import annotations

import errno
import signal

from heyfleet.errors import HeyfleetError

_CURES = {
    errno.EACCES: "check its permissions",
    errno.EPERM: "check the permissions, or what the container forbids",
    errno.EROFS: "use a folder that can be written",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EMFILE: "allow more open files with ulimit -n",
    errno.ENFILE: "close other programs: the host has too many open files",
    errno.ENOMEM: "free some memory",
    errno.EAGAIN: "allow more processes with ulimit -u",
    errno.ENOENT: "check that it exists",
    errno.ENAMETOOLONG: "use a shorter path",
}
# Words of CPython's RuntimeErrors that have no class of their own.
_RUNTIME_ERRORS = {
    "can't start new thread": (
        "can't start a thread",
        "allow more processes (ulimit -u) or more memory (ulimit -v)",
    ),
    "home directory": ("can't find the home folder", "set HOME"),
}


class SurroundingsError(HeyfleetError):
    """Something that the operating system, its limits or the installation refused."""


def translate(error: BaseException) -> HeyfleetError | None:
    """Return the error to show for what the surroundings did; None if it is a fault of heyfleet."""
    if isinstance(error, HeyfleetError):
        return error
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        return SurroundingsError(f"{_place(error)}: {reason}", _CURES.get(error.errno or 0, ""))
    if isinstance(error, MemoryError):
        return SurroundingsError("there is not enough memory", "free some, or use fewer connections")
    if isinstance(error, RuntimeError):
        known = (SurroundingsError(*pair) for words, pair in _RUNTIME_ERRORS.items() if words in str(error))
        # asyncio fails once more while it cleans up after what the system refused.
        refused = error.__context__ if isinstance(error.__context__, OSError | MemoryError) else None
        return next(known, None) or (translate(refused) if refused else None)
    if isinstance(error, ImportError):
        return SurroundingsError(
            f"can't load {error.name or 'a module'}: {error}",
            "check memory limits, or install heyfleet again",
        )
    return None


def end_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that end a command in order: SIGHUP only if it is not to outlive its terminal (nohup)."""
    hang_up = () if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGINT, signal.SIGTERM, *hang_up)


def _place(error: OSError) -> str:
    """Return what could not be used: a file, or else the system."""
    if error.filename is None:
        return "the operating system refused a request"
    name = error.filename.decode(errors="replace") if isinstance(error.filename, bytes) else error.filename
    return f"can't use {name}"
