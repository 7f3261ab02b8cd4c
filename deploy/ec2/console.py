"""What instances have said on their consoles."""

from __future__ import annotations

from typing import Any


def ours(output: dict[str, Any]) -> str:
    """Our lines of the answer to GetConsoleOutput, or its last ones."""
    lines = str(output.get("Output", "")).splitlines()
    # What user-data prints comes there a second time, by cloud-init.
    found = [line for line in lines if "heyfleet" in line and "cloud-init[" not in line]
    return "\n".join(found or lines[-20:])
