"""The io contract (ext/io/contract.pxi), the same promises asked of every backend."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from heyfleet.ext import (
    EpollIo,
    Io,
    IoProbe,
    ProbeEvent,
    SimIo,
    SimPeer,
    TlsContext,
    TlsIo,
    UringIo,
    backends,
)

from ..certificates import Authority
from .peer import FLOOD, GREETING, Peers

MS = 1_000_000
S = 1_000 * MS
# How long a test waits for what must come; far beyond what any machine needs.
PATIENCE_NS = 10 * S
# How long a test listens for what must not come.
QUIET_NS = 20 * MS
HOST = "127.0.0.1"
LARGE = random.Random(8).randbytes(8 << 20)

SIM_PORTS = {
    name: 1000 + number
    for number, name in enumerate(
        (
            "echo",
            "slow",
            "close",
            "half_close",
            "reset",
            "silent",
            "flood",
            "blackhole",
            "unreachable",
            "refuse",
        )
    )
}
CONNECTS = ("echo", "slow", "close", "half_close", "reset", "silent", "flood")


def simulated_peers() -> dict[int, SimPeer]:
    peers = {
        "echo": SimPeer(
            "echo", delay_ns=20_000, jitter_ns=30_000, connect_delay_ns=10_000, send_delay_ns=2_000
        ),
        "slow": SimPeer("echo", delay_ns=MS, bandwidth_bytes_per_s=50 << 20, split_bytes=10_000),
        "close": SimPeer("close", response=GREETING, split_bytes=4),
        "half_close": SimPeer("half_close", response=GREETING),
        "reset": SimPeer("reset", delay_ns=50_000),
        "silent": SimPeer("silent"),
        "flood": SimPeer("half_close", response=FLOOD * 64, bandwidth_bytes_per_s=1 << 30),
        "blackhole": SimPeer("blackhole"),
        "unreachable": SimPeer("unreachable"),
        "refuse": SimPeer("refuse"),
    }
    return {SIM_PORTS[name]: peer for name, peer in peers.items()}


def simulated() -> SimIo:
    return SimIo(simulated_peers(), seed=42)


def milliseconds() -> EpollIo:
    return EpollIo(milliseconds=True)


AUTHORITY = Authority()


def context() -> TlsContext:
    return TlsContext(HOST, ca_pem=AUTHORITY.pem)


def tls_epoll() -> TlsIo:
    return TlsIo(EpollIo(), context())


def tls_io_uring() -> TlsIo:
    return TlsIo(UringIo(), context())


def stamped() -> EpollIo:
    return EpollIo(stamps=True)


BACKENDS: dict[str, Callable[[], Io]] = {
    "epoll": EpollIo,
    "epoll_milliseconds": milliseconds,
    "epoll_stamps": stamped,
    "io_uring": UringIo,
    "tls_epoll": tls_epoll,
    "tls_io_uring": tls_io_uring,
    "sim": simulated,
}


def all_backends() -> list[object]:
    """Every backend; what this host does not offer is skipped, with the kernel's reason."""
    missing = {name: reason for name, available, reason in backends() if not available}
    return [
        pytest.param(
            name,
            marks=pytest.mark.skip(reason=f"no {name} here: {missing[name.removeprefix('tls_')]}")
            if name.removeprefix("tls_") in missing
            else (),
        )
        for name in BACKENDS
    ]


@dataclass
class Net:
    """One backend and the peers that it can reach."""

    backend: str
    ports: dict[str, int]
    probe: IoProbe = field(init=False)

    def __post_init__(self) -> None:
        self.probe = IoProbe(BACKENDS[self.backend]())

    def address(self, peer: str) -> tuple[str, int]:
        # The broadcast address of loopback: no TCP goes there, and nothing leaves the host.
        if peer == "unreachable" and self.backend != "sim":
            return ("127.255.255.255", 9)
        return (HOST, self.ports[peer])

    def connect(self, slot: int, peer: str) -> None:
        self.probe.connect(slot, self.address(peer))

    def take(self, enough: Callable[[list[ProbeEvent]], object]) -> list[ProbeEvent]:
        """Events until there are enough."""
        events: list[ProbeEvent] = []
        deadline = self.probe.now() + PATIENCE_NS
        while not enough(events):
            if (event := self.probe.next()) is not None:
                check_form(event, self.probe.now())
                events.append(event)
                continue
            assert self.probe.now() < deadline, f"only {summary(events)}"
            assert self.probe.wait(deadline - self.probe.now()) == 0
        return events

    def one(self) -> ProbeEvent:
        return self.take(lambda events: len(events) == 1)[0]

    def quiet(self) -> None:
        """Nothing comes."""
        assert self.probe.drain(QUIET_NS) == []

    def connected(self, slot: int, peer: str) -> None:
        self.connect(slot, peer)
        event = self.one()
        assert (event.op, event.slot, event.result) == ("connect", slot, 0)

    def echoed(self, slot: int, payload: bytes) -> list[ProbeEvent]:
        """Send, and see one send event and the same bytes again."""
        self.probe.send(slot, payload)
        events = self.take(lambda events: size(events, slot) >= len(payload) and bool(sent(events, slot)))
        assert received(events, slot) == payload
        assert sent(events, slot) == [len(payload)]
        return events


def check_form(event: ProbeEvent, now_ns: int) -> None:
    assert event.time_ns <= now_ns
    assert len(event.data) == (max(event.result, 0) if event.op == "recv" else 0)


def summary(events: list[ProbeEvent]) -> list[tuple[str, int, int]]:
    return [(event.op, event.slot, event.result) for event in events]


def received(events: list[ProbeEvent], slot: int = 0) -> bytes:
    return b"".join(event.data for event in events if event.slot == slot)


def size(events: list[ProbeEvent], slot: int = 0) -> int:
    return sum(len(event.data) for event in events if event.slot == slot)


def sent(events: list[ProbeEvent], slot: int = 0) -> list[int]:
    return [event.result for event in events if event.op == "send" and event.slot == slot]


def ended(events: list[ProbeEvent], slot: int = 0) -> list[int]:
    """How the stream ended: 0 or negative errnos."""
    return [
        event.result for event in events if event.op == "recv" and event.slot == slot and event.result <= 0
    ]


@pytest.fixture(scope="module")
def real_ports() -> Iterator[dict[str, int]]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limits[1]), limits[1]))
    with Peers() as peers:
        yield peers.ports
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture(scope="module")
def tls_ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*AUTHORITY.sign(HOST, "::1").write(tmp_path_factory.mktemp("tls"), "server"))
    with Peers(server) as peers:
        yield peers.ports


@pytest.fixture(params=all_backends())
def net(
    request: pytest.FixtureRequest, real_ports: dict[str, int], tls_ports: dict[str, int]
) -> Iterator[Net]:
    if request.param.startswith("tls") and "half_close" in request.node.name:
        pytest.skip("asyncio's TLS servers can't close one half of a connection")
    ports = tls_ports if request.param.startswith("tls") else real_ports
    net = Net(request.param, SIM_PORTS if request.param == "sim" else ports)
    assert net.probe.open(512) == 0
    yield net
    net.probe.shut()


def test_connect(net: Net) -> None:
    net.connected(0, "echo")
    net.quiet()


@pytest.mark.parametrize(
    ("peer", "error"), [("refuse", errno.ECONNREFUSED), ("unreachable", errno.ENETUNREACH)]
)
def test_connect_that_fails_is_one_event_and_leaves_the_slot_usable(net: Net, peer: str, error: int) -> None:
    for _ in range(3):
        net.connect(7, peer)
        assert summary([net.one()]) == [("connect", 7, -error)]
        net.quiet()
        net.probe.close(7)
    net.connected(7, "echo")
    net.echoed(7, b"still of use")


def test_connect_without_an_answer_can_be_given_up(net: Net) -> None:
    net.connect(0, "blackhole")
    net.quiet()
    net.probe.close(0)
    net.quiet()
    net.connected(0, "echo")
    net.echoed(0, b"hello")


def test_end_of_stream_comes_unasked_and_once(net: Net) -> None:
    net.connect(0, "close")
    events = net.take(ended)
    assert events[0].op == "connect"
    assert received(events) == GREETING
    assert ended(events) == [0]
    net.quiet()


def test_echo_of_small_messages_in_one_connection(net: Net) -> None:
    net.connected(3, "echo")
    for number in range(200):
        net.echoed(3, b"message %d" % number)
    net.quiet()


def test_a_second_connection_of_the_same_slot(net: Net) -> None:
    for number in range(20):
        net.connected(0, "echo")
        net.echoed(0, b"connection %d" % number)
        net.probe.close(0)


@pytest.mark.parametrize("peer", ["echo", "slow"])
def test_large_send_is_one_event_and_comes_back_byte_for_byte(net: Net, peer: str) -> None:
    net.connected(0, peer)
    net.echoed(0, LARGE)


def test_many_slots_at_once(net: Net) -> None:
    slots = range(500)
    expected = {slot: random.Random(slot).randbytes(10 + 37 * slot) for slot in slots}
    for slot in slots:
        net.connect(slot, "echo")
    events = net.take(lambda events: len(events) == len(slots))
    assert {event.slot: event.result for event in events} == dict.fromkeys(slots, 0)
    for _ in range(3):
        for slot in slots:
            net.probe.send(slot, expected[slot])
        total = sum(map(len, expected.values()))
        got = dict.fromkeys(slots, b"")
        sends = dict.fromkeys(slots, 0)

        def enough(
            events: list[ProbeEvent],
            got: dict[int, bytes] = got,
            sends: dict[int, int] = sends,
            total: int = total,
        ) -> bool:
            for event in events:
                got[event.slot] += event.data
                sends[event.slot] += event.op == "send"
            events.clear()
            return sum(map(len, got.values())) >= total and sum(sends.values()) >= len(slots)

        net.take(enough)
        assert got == expected
        assert set(sends.values()) == {1}
    net.quiet()


def test_reset_is_one_negative_errno(net: Net) -> None:
    net.connected(0, "reset")
    net.probe.send(0, b"anything")
    events = net.take(lambda events: bool(ended(events)) and bool(sent(events)))
    assert sent(events) == [8]
    assert ended(events) == [-errno.ECONNRESET]
    net.quiet()


def test_reset_ends_an_outstanding_send_too(net: Net) -> None:
    net.connected(0, "reset")
    net.probe.send(0, LARGE)
    events = net.take(lambda events: bool(ended(events)) and bool(sent(events)))
    assert len(sent(events)) == 1
    assert len(ended(events)) == 1
    assert sent(events)[0] == len(LARGE) or sent(events)[0] < 0
    assert ended(events)[0] < 0 or sent(events)[0] < 0
    net.quiet()


def test_half_closed_by_the_peer_still_takes_what_is_sent(net: Net) -> None:
    net.connect(0, "half_close")
    events = net.take(ended)
    assert received(events) == GREETING
    for _ in range(5):
        net.probe.send(0, b"more")
        assert summary([net.one()]) == [("send", 0, 4)]
    net.quiet()


def test_sending_to_a_peer_that_has_gone_ends_in_an_error(net: Net) -> None:
    net.connect(0, "close")
    net.take(ended)
    results: list[int] = []
    while not results or (results[-1] >= 0 and len(results) < 100):
        net.probe.send(0, b"anyone there?")
        results += sent(net.take(lambda events: bool(sent(events))))
        net.probe.drain(MS)
    assert results[-1] in {-errno.EPIPE, -errno.ECONNRESET}


@pytest.mark.parametrize("payload", [b"", b"x", LARGE], ids=["no send", "small send", "large send"])
@pytest.mark.parametrize("peer", CONNECTS)
def test_after_close_nothing_of_the_past_comes(net: Net, peer: str, payload: bytes) -> None:
    for turn in range(4):
        net.connect(0, peer)
        if turn:
            net.take(lambda events: events[-1:] != [] and events[-1].op == "connect")
            if payload:
                net.probe.send(0, payload)
            for _ in range(turn - 1):
                net.probe.wait(MS)
        net.probe.close(0)
        net.probe.close(0)
        net.connect(0, "echo")
        assert summary([net.one()]) == [("connect", 0, 0)]
        net.echoed(0, b"after %d" % turn)
        net.probe.close(0)
        assert net.probe.drain(MS) == []


@dataclass
class Expected:
    """What one slot may still tell, kept from what was asked of it."""

    peer: str = ""
    connecting: bool = False
    open: bool = False
    sending: int = 0
    unread: bytes = b""
    last_ns: int = 0
    ended: bool = False

    def check(self, event: ProbeEvent) -> None:
        assert event.time_ns >= self.last_ns
        self.last_ns = event.time_ns
        if event.op == "connect":
            assert self.connecting
            self.connecting = False
            self.open = event.result == 0
            assert self.open == (self.peer != "refuse")
        elif event.op == "send":
            assert self.open
            assert self.sending
            assert event.result == self.sending or (event.result < 0 and self.peer in {"reset", "close"})
            self.sending = 0
        else:
            assert self.open
            assert not self.ended
            self.ended = event.result <= 0
            if self.peer == "echo":
                assert self.unread.startswith(event.data)
                assert not self.ended
                self.unread = self.unread[len(event.data) :]
            elif self.peer == "silent":
                pytest.fail(f"the silent peer said {event}")


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_calls_gives_each_slot_only_its_own_events(net: Net, seed: int) -> None:
    chance = random.Random(seed)
    slots = [Expected() for _ in range(24)]
    for step in range(1500):
        slot = chance.randrange(len(slots))
        state = slots[slot]
        if not state.open and not state.connecting:
            net.probe.close(slot)
            slots[slot] = Expected(
                chance.choice(["echo", "echo", "close", "reset", "silent", "refuse"]), True
            )
            net.connect(slot, slots[slot].peer)
        elif chance.random() < 0.2:
            net.probe.close(slot)
            slots[slot] = Expected()
        elif state.open and not state.sending and not state.ended:
            payload = b"%d:%d;" % (slot, step) * chance.choice([1, 1, 1, 40, 60_000])
            state.sending = len(payload)
            state.unread += payload
            net.probe.send(slot, payload)
        if chance.random() < 0.1:
            net.probe.wait(chance.choice([0, MS // 2]))
        for _ in range(chance.randrange(4)):
            if (event := net.probe.next()) is not None:
                check_form(event, net.probe.now())
                slots[event.slot].check(event)
    for slot, state in enumerate(slots):
        if state.peer != "echo":
            net.probe.close(slot)
            slots[slot] = Expected()
    remaining = [state for state in slots if state.peer == "echo"]

    def settled(events: list[ProbeEvent]) -> bool:
        for event in events:
            slots[event.slot].check(event)
        events.clear()
        return not any(state.connecting or state.sending or state.unread for state in remaining)

    net.take(settled)
    net.quiet()


def test_what_failed_or_was_queued_before_close_stays_away(net: Net) -> None:
    """Results that a backend has at once wait for next(): close() must reach them there as well."""
    for peer in ("refuse", "unreachable"):
        net.connect(0, peer)
        net.probe.close(0)
    net.connected(0, "echo")
    net.probe.send(0, b"lost")
    net.probe.close(0)
    net.connect(0, "silent")
    assert summary([net.one()]) == [("connect", 0, 0)]
    net.quiet()


def test_nothing_is_sent_twice_when_a_slot_is_reused(net: Net) -> None:
    for number in range(50):
        net.connected(0, "echo")
        net.probe.send(0, b"first %d" % number)
        net.probe.close(0)
        net.connected(0, "echo")
        net.echoed(0, b"second %d" % number)
        net.probe.close(0)


def test_fast_peers_do_not_starve_another(net: Net) -> None:
    for slot in range(4):
        net.connect(slot, "flood")
    net.take(lambda events: all(size(events, slot) for slot in range(4)))
    net.connect(4, "echo")
    events = net.take(lambda events: any(event.slot == 4 for event in events))
    assert not ended(events)
    net.probe.send(4, b"ping")
    events += net.take(lambda events: received(events, 4) == b"ping" and sent(events, 4) == [4])
    assert not any(ended(events, slot) for slot in range(5))


def test_data_of_a_fast_peer_is_in_order(net: Net) -> None:
    net.connect(0, "flood")
    data = received(net.take(lambda events: sum(event.result for event in events) > 4 << 20))
    assert data == (FLOOD * (len(data) // len(FLOOD) + 1))[: len(data)]


def test_wait_lasts_until_the_deadline_when_nothing_comes(net: Net) -> None:
    for timeout_ns in (0, 100_000, 2 * MS, 5 * MS):
        deadline = net.probe.now() + timeout_ns
        assert net.probe.wait(timeout_ns) == 0
        assert net.probe.now() >= deadline
        assert net.probe.next() is None


def test_wait_with_a_deadline_in_the_past_returns(net: Net) -> None:
    assert net.probe.wait(-S) == 0
    assert net.probe.next() is None


def test_long_wait_comes_back_for_its_caller_to_look_at_flags(net: Net) -> None:
    net.connected(0, "silent")
    deadline = net.probe.now() + 3600 * S
    assert net.probe.wait(3600 * S) == 0
    assert net.probe.now() < deadline


def test_wait_survives_signals(net: Net) -> None:
    seen: list[int] = []
    main = threading.get_ident()

    def interrupt() -> None:
        for _ in range(50):
            time.sleep(0.001)
            signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    sender = threading.Thread(target=interrupt)
    try:
        net.connected(0, "echo")
        sender.start()
        while sender.is_alive():
            net.echoed(0, b"hello")
            assert net.probe.wait(2 * MS) == 0
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen


def test_events_left_over_survive_a_wait(net: Net) -> None:
    for slot in range(10):
        net.connect(slot, "refuse")
    for _ in range(3):
        assert net.probe.wait(MS) == 0
    first = net.one()
    assert net.probe.wait(MS) == 0
    rest = net.take(lambda events: len(events) == 9)
    assert {event.slot for event in [first, *rest]} == set(range(10))


def test_instants_rise_and_lie_within_the_call(net: Net) -> None:
    before = net.probe.now()
    net.connected(0, "echo")
    last = before
    for number in range(50):
        asked = net.probe.now()
        events = net.echoed(0, b"%d" % number)
        assert events[0].time_ns >= asked
        for event in events:
            assert event.time_ns >= last
            last = event.time_ns


def test_ipv6_address(net: Net) -> None:
    """The family of the address decides; whether anybody listens there does not matter."""
    net.probe.connect(0, ("::1", net.ports["refuse"]))
    event = net.one()
    assert (event.op, event.slot) == ("connect", 0)
    assert event.result in {
        -errno.ECONNREFUSED,
        -errno.EADDRNOTAVAIL,
        -errno.EAFNOSUPPORT,
        -errno.ENETUNREACH,
    }


def test_open_without_slots_fails_and_shut_is_safe_after_it(net: Net) -> None:
    probe = IoProbe(BACKENDS[net.backend]())
    assert probe.open(0) == -errno.EINVAL
    probe.shut()
    assert probe.open(1) == 0
    probe.shut()
    probe.shut()


ALONE = """
import json, os, resource, sys
from heyfleet.ext import EpollIo, IoProbe, SimIo, TlsContext, TlsIo, UringIo

MAKE = {
    "epoll": EpollIo,
    "epoll_milliseconds": lambda: EpollIo(milliseconds=True),
    "epoll_stamps": lambda: EpollIo(stamps=True),
    "io_uring": UringIo,
    "tls_epoll": lambda: TlsIo(EpollIo(), TlsContext("127.0.0.1", insecure=True)),
    "tls_io_uring": lambda: TlsIo(UringIo(), TlsContext("127.0.0.1", insecure=True)),
    "sim": lambda: SimIo({}, open_max=4),
}
probe = IoProbe(MAKE[sys.argv[1]]())
ports = json.loads(sys.argv[2])

def descriptors():
    return sorted(os.listdir("/proc/self/fd"), key=int)
"""


def alone(net: Net, script: str) -> str:
    """What a script prints in a process that has no descriptors but those of its backend."""
    run = subprocess.run(
        [sys.executable, "-c", ALONE + script, net.backend, json.dumps(net.ports)],
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.stderr == ""
    return run.stdout.strip()


def test_shut_closes_everything_that_was_open(net: Net) -> None:
    script = """
before = descriptors()
for _ in range(3):
    assert probe.open(64) == 0
    for slot, peer in enumerate(["silent", "silent", "echo", "refuse", "blackhole", "close"]):
        probe.connect(slot, ("127.0.0.1", ports[peer]))
    probe.connect(6, ("127.255.255.255", 9))
    used = len(descriptors())
    connected = {event.slot for event in probe.drain(5_000_000) if event.op == "connect" and not event.result}
    for slot in connected & {0}:
        probe.send(slot, bytes(8 << 20))
    probe.close(1)
    probe.connect(7, ("127.0.0.1", ports["silent"]))
    probe.shut()
    print(used > len(before) + 2, descriptors() == before)
"""
    assert alone(net, script).split("\n") == [f"{net.backend != 'sim'} True"] * 3


def test_no_file_descriptor_left_is_an_event(net: Net) -> None:
    script = """
assert probe.open(12) == 0
if sys.argv[1] == "sim":
    for slot in range(8, 12):
        probe.connect(slot, ("127.0.0.1", 1))
else:
    resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))
    try:
        while True:
            os.open("/dev/null", os.O_RDONLY)
    except OSError:
        pass
for slot in range(8):
    probe.connect(slot, ("127.0.0.1", ports["echo"]))
print([list(event[:3]) for event in probe.drain(20_000_000) if event.slot < 8])
"""
    expected = [["connect", slot, -errno.EMFILE] for slot in range(8)]
    assert alone(net, script) == str(expected)
