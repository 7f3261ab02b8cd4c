"""`heyfleet fleet up` in virtual time: which agents it waits for, for how long, and what it says about the others."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from heyfleet.deploy.lifecycle.bring_up import FleetBringUp
from heyfleet.deploy.lifecycle.fleet_controller import Roster, RosterEntry
from heyfleet.deploy.lifecycle.head_node import HeadNodeLauncher, plan_with_head_node
from heyfleet.deploy.provider import (
    ENDED,
    HeadNode,
    HeadNodeRequest,
    Instance,
    Instances,
    LaunchResult,
    LaunchSpec,
    Log,
)
from heyfleet.deploy.settings import SettingError
from heyfleet.errors import DeployError, InputError

from ..clock import Clock
from .scripted import ScriptedProvider, instance

SPEC = LaunchSpec(fleet="f", agents=3, join="boss:7700", lifetime_s=60)


class ScriptedController:
    """A controller that agents join at overrides times."""

    def __init__(self, clock: Clock, joins_at_s: Mapping[str, float]) -> None:
        self._clock = clock
        self._joins_at_s = joins_at_s
        self.tokens: list[tuple[int, float]] = []
        self.rejections: list[str] = []

    def roster(self) -> Roster:
        joined = [name for name, at_s in self._joins_at_s.items() if at_s <= self._clock.now_s]
        entries = [
            RosterEntry(agent=f"{each}-0a1b", attached=True, cores=2, open_files=1000) for each in joined
        ]
        return Roster(agents=entries, rejections=self.rejections)

    def issue_token(self, uses: int, valid_s: float) -> tuple[bytes, bytes]:
        self.tokens.append((uses, valid_s))
        return b"ca", b"token"


def bring_up_of(
    provider: ScriptedProvider, clock: Clock, joins_at_s: Mapping[str, float], log: Log, least: int = 3
) -> FleetBringUp:
    controller = ScriptedController(clock, joins_at_s)
    return FleetBringUp(
        provider, controller, SPEC, min_agents=least, log=log, now=clock.now, sleep=clock.sleep
    )


def launching(*instances: Instance, replaced: tuple[str, ...] = ()) -> ScriptedProvider:
    """A provider that launches these instances, and lists them from then on."""
    result = LaunchResult(instances=list(instances), replaced=list(replaced))
    return ScriptedProvider(lambda request, log: result)


def test_the_request_is_complete_and_its_token_outlives_the_wait() -> None:
    clock, provider = Clock(), launching(instance(1), instance(2), instance(3))
    controller = ScriptedController(clock, {"a1": 1, "a2": 1, "a3": 1})
    bring_up = FleetBringUp(
        provider, controller, SPEC, min_agents=3, log=lambda line: None, now=clock.now, sleep=clock.sleep
    )
    assert not bring_up.launched
    assert bring_up.run(60)
    (request,) = provider.requests
    assert (request.fleet, request.agents, request.join, request.lifetime_s) == ("f", 3, "boss:7700", 60)
    assert (request.ca_pem, request.token) == (b"ca", b"token")
    assert controller.tokens == [(3, 120)]


def test_it_returns_as_soon_as_all_have_joined() -> None:
    clock, log = Clock(), list[str]()
    provider = launching(instance(1), instance(2), instance(3))
    assert bring_up_of(provider, clock, {"a1": 1, "a2": 2, "a3": 7}, log.append).run(60)
    assert clock.now_s == 7
    assert log == [
        "0 of 3 agents have joined",
        "1 of 3 agents have joined",
        "2 of 3 agents have joined",
        "3 of 3 agents have joined: 6 cores, at least 1000 open files each",
    ]


def test_it_gives_up_at_the_deadline_and_names_the_missing() -> None:
    clock, log = Clock(), list[str]()
    provider = launching(instance(1), instance(2), instance(3))
    provider.listed = []
    bring_up = bring_up_of(provider, clock, {"a1": 1, "a2": 2}, log.append)
    assert not bring_up.run(60)
    assert clock.now_s == 60
    assert "not joined: a3: it started, but its agent never reached the controller" in log
    assert bring_up.launched


def test_fewer_agents_than_requested_may_be_enough() -> None:
    clock = Clock()
    provider = launching(instance(1), instance(2), instance(3))
    assert bring_up_of(provider, clock, {"a1": 1, "a2": 2}, lambda line: None, least=2).run(60)


def test_an_instance_that_ended_is_not_waited_for_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, log = Clock(), list[str]()
    provider = launching(instance(1), instance(2), instance(3))
    listings: list[Instances] = [[], [instance(1), instance(2), instance(3, ENDED, "no network")]]
    monkeypatch.setattr(
        provider, "list", lambda fleet="": listings.pop(0) if len(listings) > 1 else listings[0]
    )
    assert not bring_up_of(provider, clock, {"a1": 1, "a2": 2}, log.append).run(60)
    assert clock.now_s < 10
    assert "not joined: a3: no network" in log
    assert log[-1].startswith("2 of 3 agents have joined")


def test_replaced_instances_and_those_of_an_earlier_fleet_are_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, log = Clock(), list[str]()
    provider = launching(instance(1), instance(2), instance(4), replaced=("i3",))
    earlier = [instance(7, ENDED, "its time was over"), instance(8, ENDED, "its time was over")]
    now = [*earlier, instance(1), instance(2), instance(3, ENDED, "no network"), instance(4)]
    listings: list[Instances] = [list(earlier), now]
    monkeypatch.setattr(
        provider, "list", lambda fleet="": listings.pop(0) if len(listings) > 1 else listings[0]
    )
    assert bring_up_of(provider, clock, {"a1": 1, "a2": 2, "a4": 20}, log.append).run(60), log
    assert clock.now_s == 20


def test_agents_that_were_there_before_are_not_counted() -> None:
    clock = Clock()
    provider = launching(instance(1), instance(2), instance(3))
    assert not bring_up_of(provider, clock, {"b1": 0, "b2": 0, "a1": 1, "a2": 1}, lambda line: None).run(30)


def test_a_fleet_that_exists_is_left_alone() -> None:
    clock, provider = Clock(), launching(instance(1))
    provider.listed = [instance(1), instance(2)]
    bring_up = bring_up_of(provider, clock, {}, lambda line: None)
    with pytest.raises(
        DeployError, match=r"the fleet f exists already \(i1 and 1 more\); run `heyfleet fleet down`"
    ):
        bring_up.run(60)
    assert not bring_up.launched
    assert provider.requests == []


class HeadNodes(ScriptedProvider):
    """A provider that launches a head node as well."""

    def __init__(self) -> None:
        super().__init__(lambda request, log: LaunchResult(instances=[instance(n) for n in (1, 2, 3)]))
        self.head_requests: list[HeadNodeRequest] = []

    def launch_head_node(self, request: HeadNodeRequest, log: Log) -> HeadNode:
        self.head_requests.append(request)
        return HeadNode(id="head", internal_address="10.0.0.9:7700", external_address="54.0.0.9:7700")


class LateController(ScriptedController):
    """A controller that answers from a overrides time on."""

    def __init__(self, clock: Clock, answers_at_s: float) -> None:
        super().__init__(clock, {"a1": 0, "a2": 0, "a3": 0})
        self._answers_at_s = answers_at_s
        self.address = ""

    def roster(self) -> Roster:
        if not self.address or self._clock.now_s < self._answers_at_s:
            raise InputError("the controller can't be reached")
        return super().roster()

    def credentials(self) -> Mapping[str, bytes]:
        return {"tokens.json": str(len(self.tokens)).encode()}

    def connect(self, address: str) -> None:
        self.address = address


def with_head_node(provider: HeadNodes, clock: Clock, controller: LateController) -> FleetBringUp:
    def log(line: str) -> None: ...

    head_node = HeadNodeLauncher(provider, controller, SPEC, 7700, log)
    return FleetBringUp(
        provider,
        controller,
        SPEC,
        min_agents=3,
        log=log,
        head_node=head_node,
        now=clock.now,
        sleep=clock.sleep,
    )


def test_a_head_node_gets_the_token_and_agents_its_internal_address() -> None:
    clock, provider = Clock(), HeadNodes()
    controller = LateController(clock, answers_at_s=20)
    assert with_head_node(provider, clock, controller).run(60)
    (head_request,), (request,) = provider.head_requests, provider.requests
    assert head_request.credentials == {"tokens.json": b"1"}  # copied after the token was issued
    assert (head_request.port, head_request.lifetime_s) == (7700, 60)
    assert controller.address == "54.0.0.9:7700"
    assert request.join == "10.0.0.9:7700"


def test_a_head_node_that_does_not_answer_is_named_with_its_port() -> None:
    clock, provider = Clock(), HeadNodes()
    bring_up = with_head_node(provider, clock, LateController(clock, answers_at_s=100))
    with pytest.raises(DeployError, match="can't be reached; open port 7700 to this host and to the agents"):
        bring_up.run(60)
    assert bring_up.launched
    assert provider.requests == []


def test_a_head_node_that_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, provider = Clock(), HeadNodes()
    ended = Instance(fleet="f", id="head", name="head", state=ENDED, reason="no bundle", is_head_node=True)
    listings: list[Instances] = [[], [ended]]
    monkeypatch.setattr(
        provider, "list", lambda fleet="": listings.pop(0) if len(listings) > 1 else listings[0]
    )
    with pytest.raises(DeployError, match="the head node head ended: no bundle"):
        with_head_node(provider, clock, LateController(clock, answers_at_s=100)).run(60)
    assert clock.now_s < 10


def test_only_some_providers_launch_head_nodes() -> None:
    with pytest.raises(SettingError, match="--head: this provider can't launch a controller; use --on ec2"):
        plan_with_head_node(launching(), SPEC, 7700)
    lines = list(plan_with_head_node(HeadNodes(), SPEC, 7700).lines())
    assert lines[0] == "4 at boss:7700"
    assert "its port 7700 must be open" in lines[-1]
