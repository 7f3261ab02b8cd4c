"""Compile the extension apart from the normal build, and fail on hints and warnings about heyfleet's code.

Two kinds of lines count: Cython's performance hints that a call would take the GIL, which no option turns
into errors, and gcc's warnings under -Wall -Wextra, except that generated code is unused.
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
    """Compile everything anew and return the output of Cython and gcc."""
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


def faults(output: str) -> list[str]:
    """Return the hints and warnings in the compilers' output, in order, without duplicates."""
    return list(
        dict.fromkeys(
            line for line in output.splitlines() if NEEDS_GIL.search(line) or GCC_WARNING.search(line)
        )
    )


def main() -> None:
    """Print hints and warnings; exit with 1 if there is one."""
    output = compile_apart()
    (ROOT / BUILD / "output.log").write_text(output)
    lines = faults(output)
    for line in lines:
        print(line)
    if lines:
        sys.exit(f"{len(lines)} hints and warnings; the compilers' output is in {BUILD}/output.log")


if __name__ == "__main__":
    main()
