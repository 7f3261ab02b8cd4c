"""The gateway to a host, the first one that ssh connects to, and how many connections to it may begin at once.

sshd refuses at random once 10 connections to it have not authenticated yet (MaxStartups 10:30:100, its default). Twenty
hosts behind one jump host are twenty connections to that one.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence

BEGINNING_AT_MOST = 5
"""Half of what sshd takes, since others connect as well."""
_DEPTH_AT_MOST = 8
_TIMEOUT_S = 20.0
_lock = threading.Lock()
_slots: dict[str, threading.Semaphore] = {}


def slots(ssh: Sequence[str], name: str) -> threading.Semaphore:
    """Return the semaphore to hold while a connection to this host begins; hosts behind one gateway share one."""
    address = find_gateway(ssh, name)
    with _lock:
        return _slots.setdefault(address, threading.Semaphore(BEGINNING_AT_MOST))


def find_gateway(ssh: Sequence[str], name: str) -> str:
    """Return what names a host's gateway: an address, or the command that makes the connection (ProxyCommand)."""
    for _ in range(_DEPTH_AT_MOST):
        settings = _settings(ssh, name)
        if (command := settings.get("proxycommand", "none")) != "none":
            return command
        if (jumps := settings.get("proxyjump", "none")) == "none":
            break
        name = jumps.partition(",")[0]
    return f"{settings.get('hostname', name)}:{settings.get('port', '')}"


def _settings(ssh: Sequence[str], name: str) -> dict[str, str]:
    """Return what the user's configuration says about a host; nothing if ssh can't tell, since it will say so itself."""
    try:
        run = subprocess.run(
            [*ssh, "-G", "--", name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    lines = run.stdout.decode(errors="replace").splitlines()
    return dict(line.partition(" ")[::2] for line in lines)
