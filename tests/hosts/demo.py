"""`make demo-fleet`: boot five hosts on this machine, and send load from four of them to the fifth."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from .machines import ROOT, lacking, machines

AGENTS = 4


def main() -> int:
    """Return the exit code of the run."""
    if why := lacking():
        print(f"demo-fleet: {why}", file=sys.stderr)
        return 2
    print(
        f"booting {AGENTS + 1} hosts with addresses of their own: {AGENTS} for agents, one as the target",
        flush=True,
    )
    began = time.monotonic()
    with machines(AGENTS + 1) as fleet:
        target = fleet.all[-1]
        started = fleet.run(target.name, "systemctl start nginx")
        if started.returncode:
            print(f"demo-fleet: nginx did not start on {target.name}: {started.stderr}", file=sys.stderr)
            return 1
        print(
            f"booted in {time.monotonic() - began:.1f} s; they have sshd and Python, and nothing of heyfleet"
        )
        hosts = ",".join(machine.name for machine in fleet.all[:AGENTS])
        command = ["run", "--on", "ssh", "--hosts", hosts, "-z", "5s", "-c", "64"]
        url = f"http://{target.address}/"
        print(f"$ heyfleet {' '.join(command)} {url}\n", flush=True)
        environment = {**os.environ, "HEYFLEET_SSH_CONFIG": str(fleet.ssh_config)}
        run = subprocess.run(
            [sys.executable, "-m", "heyfleet", *command, "--with", f"bundle={ROOT / 'dist'}", url],
            env=environment,
            check=False,
        )
        left = [
            machine.name
            for machine in fleet.all[:AGENTS]
            if fleet.run(machine.name, "ls ~/.heyfleet/runs; pgrep -f 'heyfleet agent'").stdout.strip()
        ]
    print(f"\nleft of it on hosts: {', '.join(left) or 'nothing'}; the hosts are gone")
    return run.returncode or bool(left)


if __name__ == "__main__":
    sys.exit(main())
