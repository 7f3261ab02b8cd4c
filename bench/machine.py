"""The machine and the versions that figures were measured with."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

PACKAGES = ("nginx", "wrk", "hey", "valgrind", "liburing-dev", "gcc")


def package_version(package: str) -> str:
    """Return the version of an installed Debian package; "unknown" on other systems."""
    if shutil.which("dpkg-query") is None:
        return "unknown"
    command = ["dpkg-query", "-W", "-f", "${Version}", package]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def read(path: str) -> str:
    """Read a small file in /proc; return an empty string if it is absent."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def describe() -> dict[str, str]:
    """Return names and values in the order in which to print them."""
    model = re.search(r"^model name\s*: (.*)", read("/proc/cpuinfo"), re.MULTILINE)
    versions = ", ".join(f"{package} {package_version(package)}" for package in PACKAGES)
    return {
        "CPU": f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "TCP congestion control": read("/proc/sys/net/ipv4/tcp_congestion_control") or "unknown",
        "Python": platform.python_version(),
        "packages": versions,
    }


def busy() -> str | None:
    """Return a warning if other processes use the cores."""
    load = os.getloadavg()[0]
    if load < 0.5:
        return None
    return f"the load average is {load:.2f}: other processes are running and disturb the figures"
