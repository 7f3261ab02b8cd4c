"""Kernel settings that help a load generator: set on request, and restored to their earlier values."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from heyfleet.documents import parse_json
from heyfleet.errors import ExitCode, HeyfleetError
from heyfleet.files import MAX_TEXT_BYTES, read_file
from heyfleet.private_files import make_folder

PORTS = "net.ipv4.ip_local_port_range"
_ROOT = Path("/proc/sys")


class TuningError(HeyfleetError):
    """A setting that can't be changed or restored."""

    exit_code = ExitCode.CANNOT_START


@dataclass(frozen=True, slots=True)
class Setting:
    """One sysctl of the network namespace; none of them affects the host beyond it."""

    name: str
    target: str  # the recommended value
    effect: str

    @property
    def path(self) -> Path:
        """Return its file under /proc/sys."""
        return _ROOT.joinpath(*self.name.split("."))

    def read(self) -> str | None:
        """Return its current value; None if this kernel does not have it."""
        try:
            return " ".join(self.path.read_text().split())
        except OSError:
            return None


SETTINGS = (
    # The two ends differ in parity; otherwise the kernel would reserve half of the ports for bind().
    Setting(PORTS, "1024 65535", "local ports for connections to one address"),
    Setting("net.ipv4.tcp_tw_reuse", "1", "1 reuses the ports of recently closed connections"),
    Setting(
        "net.ipv4.tcp_slow_start_after_idle", "0", "0 lets an idle connection send at full speed at once"
    ),
    Setting(
        "net.ipv4.tcp_no_metrics_save", "1", "1 starts every connection without the metrics of earlier ones"
    ),
)


def state_file() -> Path:
    """Return the path of the file that holds the settings' earlier values."""
    folder = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(folder, "heyfleet", "tuned.json")


def tune(state: Path) -> list[str]:
    """Set what differs from its target, after saving the earlier values; return a line per change. TuningError."""
    changes = [
        (setting, value) for setting in SETTINGS if (value := setting.read()) not in (None, setting.target)
    ]
    if not changes:
        return []
    before = _read(state)
    for setting, value in changes:
        before.setdefault(setting.name, str(value))
    try:
        make_folder(state.parent, exist_ok=True)
        draft = state.with_suffix(".new")
        draft.write_text(json.dumps(before, indent=2) + "\n")
        draft.replace(state)
    except OSError as error:
        raise TuningError(f"can't write {state}: {error.strerror}", "nothing was changed") from None
    return [
        _set(setting.path, setting.target, f"{setting.name}: {value} -> {setting.target}")
        for setting, value in changes
    ]


def restore(state: Path) -> list[str]:
    """Restore what `tune` changed, and return a line per change. TuningError."""
    known = {setting.name: setting for setting in SETTINGS}
    lines = []
    for name, value in _read(state).items():
        if name in known:
            lines.append(_set(known[name].path, value, f"{name}: {known[name].read()} -> {value}"))
    state.unlink(missing_ok=True)
    return lines


def _set(path: Path, value: str, line: str) -> str:
    try:
        path.write_text(value)
    except OSError as error:
        raise TuningError(
            f"can't set {path}: {error.strerror}", "only root may set it, and not in every container"
        ) from None
    return line


def _read(state: Path) -> dict[str, str]:
    if not state.exists():
        return {}
    try:
        values = parse_json(read_file(state, "earlier values", MAX_TEXT_BYTES, pipes=False))
    except ValueError as error:
        raise TuningError(f"{state}: {error}", "delete it to give up the earlier values") from None
    return {str(name): str(value) for name, value in values.items()} if isinstance(values, dict) else {}
