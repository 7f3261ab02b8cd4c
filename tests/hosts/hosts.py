"""Hosts in network namespaces of our own: a bridge, a link each, and nothing that leads anywhere else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NETWORKS = 250  # 10.77.0.0/24 and on: one for each test run that this machine has at the same time


def ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True)


class Hosts:
    """Namespaces `1` to `count`, each with an address of the network, all reachable from here."""

    here: str
    """This side's address, which all of them reach."""

    def __init__(self, count: int) -> None:
        self._tag = ""
        self._count = count
        self._numbers: set[int] = set()
        self._relays: list[subprocess.Popen[str]] = []

    def make(self) -> None:
        """Bridge, namespaces, links."""
        network, bridge = self._take_network()
        self.here = f"{network}.254"
        ip("addr", "add", f"{self.here}/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for number in range(1, self._count + 1):
            self.add(number)

    def add(self, number: int) -> None:
        """One more."""
        self._numbers.add(number)
        space, link = self.space(number), self._link(number)
        ip("netns", "add", space)
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("link", "set", link, "master", f"{self._tag}b", "up")
        ip("-n", space, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "lo", "up")
        ip("-n", space, "link", "set", "eth0", "up")  # and no default route: nothing can leave

    def drop(self, number: int) -> None:
        """One less; also the root end of its link, which outlives a namespace with sockets that still try."""
        self._numbers.discard(number)
        ip("netns", "del", self.space(number), check=False)
        ip("link", "del", self._link(number), check=False)

    def _take_network(self) -> tuple[str, str]:
        """The first network whose bridge nobody has yet: a name is given once, so two test runs never share one."""
        for number in range(NETWORKS):
            bridge = f"hf{number}b"
            try:
                # Its own hardware address: else it takes one of its ports', and is not found for a minute when that one goes.
                ip("link", "add", bridge, "address", f"02:00:0a:4d:{number:02x}:fe", "type", "bridge")
            except subprocess.CalledProcessError:
                continue
            self._tag = f"hf{number}"
            return f"10.77.{number}", bridge
        raise RuntimeError("no network is left for the tests' hosts; see `ip link` for bridges named hf*b")

    def remove(self) -> None:
        """All of it."""
        for relay in self._relays:
            relay.kill()
            relay.communicate()
        if not self._tag:
            return
        for number in sorted(self._numbers):
            self.drop(number)
        ip("link", "del", f"{self._tag}b", check=False)

    def address(self, number: int) -> str:
        """Of a host."""
        return f"{self.here.rpartition('.')[0]}.{number}"

    def enter(self, number: int) -> tuple[str, ...]:
        """What to put before a command that is to run on a host."""
        return ("ip", "netns", "exec", self.space(number))

    def cut(self, number: int) -> None:
        """Cut a host's link without a word: no FIN, no RST."""
        ip("link", "set", self._link(number), "down")

    def mend(self, number: int) -> None:
        """Connect it again."""
        ip("link", "set", self._link(number), "up")

    def delay(self, number: int, seconds: float) -> None:
        """Replace a host's link by one on which each frame takes so long, either way."""
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
        """Drop so many percent of the packets that a host receives."""
        rules = (
            "add table ip lossy",
            "add chain ip lossy in { type filter hook input priority 0 ; }",
            f"add rule ip lossy in numgen random mod 100 < {percent} drop",
        )
        ip("netns", "exec", self.space(number), "nft", "; ".join(rules))

    def lose_nothing(self, number: int) -> None:
        """Drop none any more."""
        ip("netns", "exec", self.space(number), "nft", "delete", "table", "ip", "lossy")

    def space(self, number: int) -> str:
        """The name of a namespace."""
        return f"{self._tag}-{number}"

    def _link(self, number: int) -> str:
        return f"{self._tag}v{number}"


@contextmanager
def hosts(count: int) -> Iterator[Hosts]:
    """Hosts for one test."""
    made = Hosts(count)
    try:
        made.make()
        yield made
    finally:
        made.remove()
