"""hey on a fleet: agents generate HTTP load, a controller merges what they measured into one report.

    import heyfleet

    result = heyfleet.run("http://localhost:8080/", n=1000, c=20)
    result.percentile(99)   # secs
    print(result)           # the report, as hey prints it

docs/how-to/python.md has more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Result", "RunError", "arun", "load", "run"]

if TYPE_CHECKING:
    from heyfleet.api import Result, RunError, arun, load, run


def __getattr__(name: str) -> Any:
    # Imported when it is used: the command `heyfleet` wants none of it, and is to start at once.
    if name in __all__:
        from heyfleet import api

        return getattr(api, name)
    raise AttributeError(f"module 'heyfleet' has no attribute {name!r}")
