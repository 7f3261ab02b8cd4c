"""Agent bundles: archives with an agent and its dependencies, one for each Python version and machine type."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from heyfleet import __version__
from heyfleet.errors import DeployError

_NAME = re.compile(r"heyfleet-agent-(?P<version>.+)-python(?P<python>\d+\.\d+)-(?P<machine>\w+)\.tar\.gz")


@dataclass(frozen=True, slots=True)
class Bundle:
    """An archive that `make bundle` made."""

    path: Path
    python: str
    """The Python version, such as 3.11."""
    machine: str
    """The machine type as `uname -m` prints it."""

    @property
    def name(self) -> str:
        """The name of the archive without its suffix, and of the folder that it unpacks to."""
        return self.path.name.removesuffix(".tar.gz")


class BundleSet:
    """The bundles of this version of heyfleet in a folder, or a single one."""

    def __init__(self, path: str) -> None:
        """`path` is a file or folder, or empty for the folders that `make bundle` writes to. Raises DeployError."""
        self._paths = [Path(path)] if path else _default_folders()
        if path and not self._paths[0].exists():
            raise DeployError(f"bundle: there is no {path}", "`make bundle` in a checkout makes one")
        self.bundles = list(self._scan())
        if path and self._paths[0].is_file() and not self.bundles:
            raise DeployError(f"bundle: {path} is not named like a bundle of heyfleet {__version__}")

    def _scan(self) -> list[Bundle]:
        files = [
            file for path in self._paths for file in ([path] if path.is_file() else sorted(path.glob("*.gz")))
        ]
        matches = [(file, _NAME.fullmatch(file.name)) for file in files]
        return [
            Bundle(file, match["python"], match["machine"])
            for file, match in matches
            if match and match["version"] == __version__
        ]

    def find(self, python: str, machine: str) -> Bundle:
        """Return the bundle for a host. Raises DeployError if there is none."""
        for bundle in self.bundles:
            if (bundle.python, bundle.machine) == (python, machine):
                return bundle
        available = ", ".join(each.name for each in self.bundles) or "none"
        raise DeployError(
            f"the host has Python {python} on {machine}, and there is no bundle of heyfleet {__version__} for it "
            f"(available: {available})",
            f"`make bundle VERSION={python}` in a checkout makes it; name its folder with --with bundle=DIR",
        )


def _default_folders() -> list[Path]:
    """Return the folders that `make bundle` writes to: `dist` below here, and in the checkout of this file."""
    checkout = Path(os.path.realpath(__file__)).parents[2]
    return list(dict.fromkeys([Path("dist"), checkout / "dist"]))
