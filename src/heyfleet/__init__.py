"""A faster hey that scales to many hosts, holds a constant rate, and tells you when not to trust its numbers.

    import heyfleet

    result = heyfleet.run("http://localhost:8080/", requests=1000, connections=20)
    result.assert_slo("p99<50ms, errors<0.1%")
    print(result.p99)  # seconds
    print(result)      # the report, as hey prints it

docs/how-to/python.md has examples, docs/reference/python.md every name.
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = [
    "CannotStartError",
    "DeployError",
    "ExitCode",
    "HeyfleetError",
    "InputError",
    "Result",
    "arun",
    "load",
    "run",
]

# Type checkers take it for typing.TYPE_CHECKING, whose module would delay the start of the command `heyfleet`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from heyfleet.api import arun, load, run
    from heyfleet.errors import CannotStartError, DeployError, ExitCode, HeyfleetError, InputError
    from heyfleet.result import Result

_MODULES = {"Result": "result", "arun": "api", "load": "api", "run": "api"}


def __getattr__(name: str) -> Any:
    # Imported on use: the command `heyfleet` needs none of it and should start at once.
    if name not in __all__:
        raise AttributeError(f"module 'heyfleet' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"heyfleet.{_MODULES.get(name, 'errors')}"), name)
