"""Settings of the kernel that an agent's host profits from: set on request, and put back as they were."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

PORTS = "net.ipv4.ip_local_port_range"
_ROOT = Path("/proc/sys")


class TuningError(Exception):
    """A setting can't be set, or put back: one line."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One sysctl of the network namespace: nothing here reaches beyond it."""

    name: str
    wanted: str
    why: str

    @property
    def path(self) -> Path:
        """Where the kernel has it."""
        return _ROOT.joinpath(*self.name.split("."))

    def read(self) -> str | None:
        """As it is now; None where this kernel has none."""
        try:
            return " ".join(self.path.read_text().split())
        except OSError:
            return None


SETTINGS = (
    # The ends are of different parity, or half of the ports would be left for bind().
    Setting(PORTS, "1024 65535", "ports for connections to one address"),
    Setting("net.ipv4.tcp_tw_reuse", "1", "1 lets ports of connections that were just closed be used again"),
    Setting("net.ipv4.tcp_slow_start_after_idle", "0", "0 lets a connection that was idle send at once"),
    Setting(
        "net.ipv4.tcp_no_metrics_save", "1", "1 forgets what earlier connections to the target were like"
    ),
)


def state_file() -> Path:
    """Where it stands how settings were before."""
    folder = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(folder, "heyfleet", "tuned.json")


def tune(state: Path) -> list[str]:
    """Set what is not as wanted, after writing down how it was; what was set, one line each. TuningError."""
    changes = [
        (setting, now) for setting in SETTINGS if (now := setting.read()) not in (None, setting.wanted)
    ]
    if not changes:
        return []
    before = _read(state)
    for setting, now in changes:
        before.setdefault(setting.name, str(now))
    try:
        state.parent.mkdir(parents=True, exist_ok=True)
        draft = state.with_suffix(".new")
        draft.write_text(json.dumps(before, indent=2) + "\n")
        draft.replace(state)
    except OSError as error:
        raise TuningError(f"{state}: {error.strerror}; nothing was changed") from None
    return [
        _set(setting.path, setting.wanted, f"{setting.name}: {now} -> {setting.wanted}")
        for setting, now in changes
    ]


def restore(state: Path) -> list[str]:
    """Put back what `tune` changed; what was put back, one line each. TuningError."""
    known = {setting.name: setting for setting in SETTINGS}
    done = []
    for name, value in _read(state).items():
        if name in known:
            done.append(_set(known[name].path, value, f"{name}: {known[name].read()} -> {value}"))
    state.unlink(missing_ok=True)
    return done


def _set(path: Path, value: str, line: str) -> str:
    try:
        path.write_text(value)
    except OSError as error:
        raise TuningError(
            f"{path}: {error.strerror}: only root may set it, where the container allows that"
        ) from None
    return line


def _read(state: Path) -> dict[str, str]:
    try:
        found = json.loads(state.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise TuningError(f"{state}: it can't be read: {error}") from None
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
