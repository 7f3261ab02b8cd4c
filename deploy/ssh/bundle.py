"""The archive with an agent and all it needs, of which each host wants that for its own Python and machine."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from heyfleet import __version__
from heyfleet.deploy.provider import DeployError

_NAME = re.compile(r"heyfleet-agent-(?P<version>.+)-python(?P<python>\d+\.\d+)-(?P<machine>\w+)\.tar\.gz")


@dataclass(frozen=True, slots=True)
class Bundle:
    """One that `make bundle` made."""

    path: Path
    python: str
    machine: str

    @property
    def name(self) -> str:
        """Of the file, and of the folder that it unpacks to."""
        return self.path.name.removesuffix(".tar.gz")


class Bundles:
    """Those in a folder, or one file."""

    def __init__(self, setting: str) -> None:
        self._where = [Path(setting)] if setting else _usual_folders()
        if setting and not self._where[0].exists():
            raise DeployError(f"bundle: there is no {setting}; `make bundle` in a checkout makes one")
        self.found = list(self._look())
        if setting and self._where[0].is_file() and not self.found:
            raise DeployError(f"bundle: {setting} is not named as `make bundle` names them")

    def _look(self) -> list[Bundle]:
        files = [
            path
            for where in self._where
            for path in ([where] if where.is_file() else sorted(where.glob("*.gz")))
        ]
        matches = [(path, _NAME.fullmatch(path.name)) for path in files]
        return [
            Bundle(path, match["python"], match["machine"])
            for path, match in matches
            if match and match["version"] == __version__
        ]

    def fitting(self, python: str, machine: str) -> Bundle:
        """The one for a host. DeployError with how to make it."""
        for bundle in self.found:
            if (bundle.python, bundle.machine) == (python, machine):
                return bundle
        here = ", ".join(each.name for each in self.found) or "none"
        raise DeployError(
            f"it has Python {python} on {machine}, and there is no bundle of heyfleet {__version__} for that "
            f"(there is {here}): "
            f"`make bundle VERSION={python}` in a checkout makes it; name its folder with --with bundle=DIR"
        )


def _usual_folders() -> list[Path]:
    """Where `make bundle` puts them: below here, and in the checkout that this is part of."""
    checkout = Path(os.path.realpath(__file__)).parents[2]
    return list(dict.fromkeys([Path("dist"), checkout / "dist"]))
