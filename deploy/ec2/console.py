"""What instances have printed on their consoles."""

from __future__ import annotations

from typing import Any

_LINES_WITHOUT_OURS = 20


def agent_log(output: dict[str, Any]) -> str:
    """Return heyfleet's lines from a response of GetConsoleOutput, or the last lines if there are none."""
    lines = str(output.get("Output", "")).splitlines()
    # cloud-init repeats what user-data prints.
    ours = [line for line in lines if "heyfleet" in line and "cloud-init[" not in line]
    return "\n".join(ours or lines[-_LINES_WITHOUT_OURS:])
