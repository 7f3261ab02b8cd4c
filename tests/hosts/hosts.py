"""Hosts as network namespaces: a bridge, a link for each, and no route anywhere else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NETWORKS = 250  # 10.77.0.0/24 and on: one for each concurrent test run on this machine


def ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True)


class Hosts:
    """Namespaces `1` to `count`, each with an address in the network, all reachable from here."""

    here: str
    """This side's address, which all hosts reach."""

    def __init__(self, count: int) -> None:
        self._tag = ""
        self._count = count
        self._numbers: set[int] = set()
        self._relays: list[subprocess.Popen[str]] = []

    def make(self) -> None:
        """Create the bridge, the namespaces and the links."""
        network, bridge = self._take_network()
        self.here = f"{network}.254"
        ip("addr", "add", f"{self.here}/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for number in range(1, self._count + 1):
            self.add(number)

    def add(self, number: int) -> None:
        """Add a host."""
        self._numbers.add(number)
        space, link = self.space(number), self._link(number)
        ip("netns", "add", space)
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("link", "set", link, "master", f"{self._tag}b", "up")
        ip("-n", space, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "lo", "up")
        ip("-n", space, "link", "set", "eth0", "up")  # no default route, so that nothing can leave

    def drop(self, number: int) -> None:
        """Remove a host and our end of its link, which outlives a namespace whose sockets still send."""
        self._numbers.discard(number)
        ip("netns", "del", self.space(number), check=False)
        ip("link", "del", self._link(number), check=False)

    def _take_network(self) -> tuple[str, str]:
        """Take the first network without a bridge. Bridge names are unique, so two test runs never share one."""
        for number in range(NETWORKS):
            bridge = f"hf{number}b"
            try:
                # With a port's hardware address, the bridge would be lost for a minute when that port goes.
                ip("link", "add", bridge, "address", f"02:00:0a:4d:{number:02x}:fe", "type", "bridge")
            except subprocess.CalledProcessError:
                continue
            self._tag = f"hf{number}"
            return f"10.77.{number}", bridge
        raise RuntimeError("no network is left for the tests' hosts; see `ip link` for bridges named hf*b")

    def remove(self) -> None:
        """Remove everything."""
        for relay in self._relays:
            relay.kill()
            relay.communicate()
        if not self._tag:
            return
        for number in sorted(self._numbers):
            self.drop(number)
        ip("link", "del", f"{self._tag}b", check=False)

    def address(self, number: int) -> str:
        """Return a host's address."""
        return f"{self.here.rpartition('.')[0]}.{number}"

    def enter(self, number: int) -> tuple[str, ...]:
        """Return what to put in front of a command to run it on a host."""
        return ("ip", "netns", "exec", self.space(number))

    def cut(self, number: int) -> None:
        """Cut a host's link silently: no FIN, no RST."""
        ip("link", "set", self._link(number), "down")

    def mend(self, number: int) -> None:
        """Connect a host's link again."""
        ip("link", "set", self._link(number), "up")

    def delay(self, number: int, seconds: float) -> None:
        """Replace a host's link by one that delays every frame in both directions."""
        space, link = self.space(number), self._link(number)
        inner = f"{link}i"
        ip("link", "del", link)
        command = [sys.executable, str(Path(__file__).with_name("delay.py")), inner, link, f"{seconds}"]
        relay = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._relays.append(relay)
        if relay.stdout is None or relay.stdout.readline() != "ready\n":
            raise RuntimeError("the relay of a slow link did not start")
        ip("link", "set", inner, "netns", space)
        ip("-n", space, "link", "set", inner, "name", "eth0")
        ip("-n", space, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        ip("link", "set", link, "master", f"{self._tag}b", "up")

    def lose(self, number: int, percent: int) -> None:
        """Drop a percentage of the packets that a host receives."""
        rules = (
            "add table ip lossy",
            "add chain ip lossy in { type filter hook input priority 0 ; }",
            f"add rule ip lossy in numgen random mod 100 < {percent} drop",
        )
        ip("netns", "exec", self.space(number), "nft", "; ".join(rules))

    def lose_nothing(self, number: int) -> None:
        """Stop dropping packets."""
        ip("netns", "exec", self.space(number), "nft", "delete", "table", "ip", "lossy")

    def space(self, number: int) -> str:
        """Return the name of a host's namespace."""
        return f"{self._tag}-{number}"

    def _link(self, number: int) -> str:
        return f"{self._tag}v{number}"


@contextmanager
def hosts(count: int) -> Iterator[Hosts]:
    """Yield hosts for one test."""
    made = Hosts(count)
    try:
        made.make()
        yield made
    finally:
        made.remove()
