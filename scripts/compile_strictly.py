"""Compile the extension apart from the normal build, and fail on what its compilers say about our code.

Two kinds of lines count: performance hints of Cython that a call would take the GIL, which no option turns
into errors, and warnings of gcc under -Wall -Wextra, save that something of Cython's own is unused.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUILD = Path("build/strict")
NEEDS_GIL = re.compile(r"performance hint: .*\bGIL\b")
GCC_WARNING = re.compile(r"warning: .*\[-W(?!unused)[\w=+-]+\]$")


def compile_apart() -> str:
    """All that Cython and gcc say when they compile everything anew."""
    command = [
        sys.executable,
        "setup.py",
        "build_ext",
        "--force",
        f"--build-lib={BUILD}",
        f"--build-temp={BUILD}/temp",
    ]
    environment = {**os.environ, "HEYFLEET_BUILD": str(BUILD), "CYTHON_FORCE_REGEN": "1", "LC_ALL": "C"}
    run = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if run.returncode:
        sys.exit(run.stdout)
    return run.stdout


def faults(said: str) -> list[str]:
    """The lines of `said` that must not be there, in order, each once."""
    return list(
        dict.fromkeys(
            line for line in said.splitlines() if NEEDS_GIL.search(line) or GCC_WARNING.search(line)
        )
    )


def main() -> None:
    """Print the faults with what the compilers said around them; exit 1 if there is one."""
    said = compile_apart()
    (ROOT / BUILD / "said.log").write_text(said)
    found = faults(said)
    for line in found:
        print(line)
    if found:
        sys.exit(f"{len(found)} hints and warnings; all that the compilers said is in {BUILD}/said.log")


if __name__ == "__main__":
    main()
