"""The commands of a page: the lines of its code blocks that are marked `sh`."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
_SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CONTINUATION = re.compile(r" *\\\n +")


def commands(page: str, *programs: str) -> list[str]:
    """Return the commands of a page, by its path in the repository, in their order.

    With `programs`, only commands of these are returned. A line that ends with a backslash continues in the next.
    """
    text = (ROOT / page).read_text()
    lines = [
        line for block in _SHELL_BLOCK.findall(text) for line in _CONTINUATION.sub(" ", block).splitlines()
    ]
    return [line for line in lines if line and (not programs or line.split()[0] in programs)]


def heyfleet_commands(page: str) -> list[str]:
    """Return what follows `heyfleet` in each of a page's commands."""
    return [line.removeprefix("heyfleet ") for line in commands(page, "heyfleet")]
