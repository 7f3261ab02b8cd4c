"""A long-running controller: runs in turn, operators that leave, restarts, and results that are collected later."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from heyfleet.controller.fleet.daemon import Daemon
from heyfleet.controller.fleet.share_seals import ShareSeals, digest_plan
from heyfleet.proto.control_pb2 import FromAgent, Hello, Offer, RosterRequest, RunRequest
from heyfleet.proto.plan_pb2 import Assignment, Plan, Target
from heyfleet.proto.protocol import PROTOCOL
from heyfleet.results.measurements import DONE

from ....plans import get
from ....virtual_time import current_loop, run
from .operators import Operator, collect
from .schedules import check_measurements, random_behavior, random_request
from .simulation import NS, Behavior, Simulation, done_of, snapshot_of

SCHEDULES = 500
CHUNK = 125
LONGEST_S = 3600.0
KEY = b"of this CA"
CALM_S = 60.0  # longer than any agent stays away


class Fleet:
    """A daemon with agents."""

    def __init__(self, *behaviors: Behavior) -> None:
        self.loop = current_loop()
        self.simulation = Simulation(self.loop)
        self.log = self.simulation.log
        self.daemon = Daemon(self.simulation.registry, self.log.append, ShareSeals(KEY))
        self.calls: list[asyncio.Task[None]] = []
        for number, behavior in enumerate(behaviors):
            self.simulation.add(f"a{number}", behavior, number)

    def call(self, operator: Operator) -> None:
        """Let an operator call now."""
        self.calls.append(self.simulation.start(operator.call(self.daemon)))

    def restart(self) -> None:
        """Kill the controller and start another one at the same address."""
        for call in self.calls:
            call.cancel()
        self.simulation.new_registry()
        self.daemon = Daemon(self.simulation.registry, self.log.append, ShareSeals(KEY))
        for agent in self.simulation.agents.values():
            agent.break_stream()

    async def finish(self) -> None:
        """Wait for the end of all calls."""
        done, pending = await asyncio.wait(self.calls, timeout=LONGEST_S)
        assert not pending, "a call does not end"
        for call in done:
            if not call.cancelled():
                call.result()

    @property
    def run_ids(self) -> list[str]:
        """Ids of the runs that agents have carried out, in order."""
        return list(
            dict.fromkeys(run_id for agent in self.simulation.agents.values() for run_id in agent.results)
        )


def play(scenario: Coroutine[Any, Any, None]) -> None:
    run(scenario)


def request(agents: int = 2, **plan: Any) -> RunRequest:
    target = Target(scheme="http", host="simulated", port=80)
    fields = {"connections": 4, "duration_ns": 3 * NS, **plan}
    return RunRequest(
        plan=Plan(target=target, requests=[get()], **fields),
        agents=agents,
        join_timeout_ns=10 * NS,
        lost_timeout_ns=15 * NS,
    )


def test_an_operator_sees_statuses_seconds_and_the_result() -> None:
    async def scenario() -> None:
        fleet, operator = Fleet(Behavior(), Behavior()), Operator(request=request())
        fleet.call(operator)
        await fleet.finish()
        stages = dict.fromkeys(each.stage for each in operator.answers.statuses)
        assert list(stages) == ["queued", "waiting for agents", "preparing", "running"]
        measurements = operator.answers.measurements
        assert measurements is not None
        assert measurements.recovery_note == ""
        check_measurements(fleet.simulation, measurements)
        sent = sum(each.merged.sent for each in operator.answers.intervals)
        assert sent == measurements.stats.counters["sent"]
        await asyncio.sleep(1)
        assert all(agent.held == {} for agent in fleet.simulation.agents.values())

    play(scenario())


def test_runs_follow_each_other() -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior(), Behavior())
        operators = [Operator(request=request()) for _ in range(3)]
        for operator in operators:
            fleet.call(operator)
        await fleet.finish()
        assert [each.answers.refusal for each in operators] == ["", "", ""]
        messages = dict.fromkeys(each.message for each in operators[2].answers.statuses if each.message)
        assert list(messages) == [
            "one run is in progress, 2 more are queued",
            "one run is in progress, 1 more are queued",
            "another run is in progress",
        ]

    play(scenario())


def test_a_queued_run_can_be_stopped() -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior())
        first, second = Operator(request=request(1)), Operator(request=request(1), stop_s=2)
        fleet.call(first)
        fleet.call(second)
        await fleet.finish()
        assert second.answers.refusal == "interrupted while the run was queued; nothing was sent"
        assert first.answers.measurements is not None

    play(scenario())


def test_a_run_that_can_not_begin_is_refused() -> None:
    async def scenario() -> None:
        fleet, operator = Fleet(Behavior()), Operator(request=request(2))
        fleet.call(operator)
        await fleet.finish()
        assert operator.answers.refusal.startswith("1 of 2 agents joined within 10 s")

    play(scenario())


def test_the_results_of_an_operator_who_disconnects_can_be_collected() -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior(), Behavior())
        fleet.call(Operator(request=request(duration_ns=60 * NS), disconnect_s=5))
        await fleet.finish()
        answers = await collect(fleet.daemon)
        assert answers.measurements is not None
        assert answers.measurements.interrupted
        assert (
            answers.measurements.recovery_note == "collected after the operator of this run had disconnected"
        )
        check_measurements(fleet.simulation, answers.measurements)
        await asyncio.sleep(1)
        assert all(agent.held == {} for agent in fleet.simulation.agents.values())

    play(scenario())


def test_an_operator_who_does_not_confirm_the_result_keeps_nobody_waiting() -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior(), Behavior())
        first, second = Operator(request=request(), confirms=False), Operator(request=request())
        fleet.call(first)
        fleet.call(second)
        await fleet.finish()
        assert second.answers.measurements is not None
        assert first.answers.measurements is not None
        unconfirmed = first.answers.measurements.run_id
        await asyncio.sleep(1)
        assert {run_id for agent in fleet.simulation.agents.values() for run_id in agent.held} == {
            unconfirmed
        }
        assert (await collect(fleet.daemon, unconfirmed)).measurements is not None

    play(scenario())


@pytest.mark.parametrize("restart_s", [4.0, 4.5, 30.0])
def test_a_new_controller_stops_and_collects_what_the_old_one_began(restart_s: float) -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior(), Behavior())
        fleet.call(Operator(request=request(duration_ns=60 * NS)))
        fleet.loop.call_later(restart_s, fleet.restart)
        await fleet.finish()
        await asyncio.sleep(10)
        assert not any(agent.is_loading for agent in fleet.simulation.agents.values())
        answers = await collect(fleet.daemon)
        assert answers.measurements is not None
        assert [part.state for part in answers.measurements.agents] == [DONE, DONE]
        check_measurements(fleet.simulation, answers.measurements)

    play(scenario())


def test_collecting_what_is_not_there() -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior())
        assert (await collect(fleet.daemon)).refusal == "the controller has no finished runs"
        fleet.call(Operator(request=request(1)))
        await fleet.finish()
        (run_id,) = fleet.run_ids
        assert (
            await collect(fleet.daemon, "other")
        ).refusal == f"the controller has no run other; it has {run_id}"
        assert "install the same version" in (await collect(fleet.daemon, protocol=99)).refusal

    play(scenario())


def test_only_the_latest_runs_are_kept() -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior())
        for _ in range(18):
            fleet.call(Operator(request=request(1, duration_ns=NS)))
            await fleet.finish()
        first, second, third, *_ = fleet.run_ids
        assert "has no run" in (await collect(fleet.daemon, first)).refusal
        assert "has no run" in (await collect(fleet.daemon, second)).refusal
        assert (await collect(fleet.daemon, third)).measurements is not None

    play(scenario())


def test_the_queue_of_runs_is_bounded() -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior())
        operators = [Operator(request=request(1, duration_ns=NS)) for _ in range(30)]
        for operator in operators:
            fleet.call(operator)
            await asyncio.sleep(0.001)
        refused = sum("16 runs are queued" in each.answers.refusal for each in operators)
        assert refused == 13
        await fleet.finish()
        again = Operator(request=request(1, duration_ns=NS))
        fleet.call(again)
        await fleet.finish()
        assert again.answers.measurements is not None
        assert sum(each.answers.measurements is not None for each in operators) == 17

    play(scenario())


def offer_of(fleet: Fleet, assignment: Assignment, seal: bytes = b"") -> list[str]:
    """Offer a run as the agent that it names, and deliver 5,000 invented answers; return the runs to resume."""
    offer = Offer(assignment=assignment, last_sequence=1, ended=True, seal=seal)
    agent, run_id = assignment.agent, assignment.run_id
    hello = Hello(protocol=PROTOCOL, agent=agent, offers=[offer])
    connection, stream = fleet.simulation.registry.attach(hello, None)
    welcome = stream.outgoing.get_nowait()
    assert welcome is not None
    snapshot = snapshot_of(agent, 1, [1000] * 5000)
    done = done_of(agent, [snapshot], planned=assignment.request_count)
    for message in (FromAgent(snapshot=snapshot, run_id=run_id), FromAgent(done=done, run_id=run_id)):
        fleet.simulation.registry.on_message(connection, message)
    return [each.run_id for each in welcome.welcome.resume_from]


def test_an_agent_that_refused_a_run_delivers_nothing_of_it() -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior(), Behavior(refusal="no"))
        operator = Operator(request=request(request_count=50, duration_ns=0))
        operator.request.min_agents = 1
        fleet.call(operator)
        await fleet.finish()
        (run_id,) = fleet.run_ids
        plan = operator.request.plan
        share = Assignment(run_id=run_id, agent="a1", plan=plan, request_count=5000, connections=4)
        assert offer_of(fleet, share) == []
        answers = await collect(fleet.daemon, run_id)
        assert answers.measurements is not None
        assert [each.agent for each in answers.measurements.agents] == ["a0"]
        assert answers.measurements.stats.counters["sent"] <= 50
        assert (
            f"a1: it offers run {run_id}, of which it was given no share"
            in fleet.simulation.registry.rejections[-1]
        )

    play(scenario())


def test_runs_that_agents_make_up_are_refused_and_displace_no_other() -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior(), Behavior())
        fleet.call(Operator(request=request()))
        await fleet.finish()
        (run_id,) = fleet.run_ids
        genuine = fleet.simulation.agents["a0"].results[run_id]
        for number in range(20):
            made_up = Assignment(run_id=f"{number}", agent="a1", request_count=5000, connections=4)
            assert offer_of(fleet, made_up) == []
            assert offer_of(fleet, made_up, genuine.seal) == []
        fleet.restart()
        for changes in ({"agent": "a1"}, {"request_count": 5000}, {"run_id": "x"}, {"connection_stride": 1}):
            share = Assignment()
            share.CopyFrom(genuine.assignment)
            share.MergeFrom(Assignment(**changes))
            assert offer_of(fleet, share, genuine.seal) == []
        other_plan = Assignment()
        other_plan.CopyFrom(genuine.assignment)
        other_plan.plan.request_count = 1
        assert offer_of(fleet, other_plan, genuine.seal) == []
        assert (await collect(fleet.daemon)).refusal == "the controller has no finished runs"
        assert offer_of(fleet, genuine.assignment, genuine.seal) == [run_id]

    play(scenario())


def test_recovered_runs_displace_only_each_other() -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior())
        fleet.call(Operator(request=request(1)))
        await fleet.finish()
        (own,) = fleet.run_ids
        seals, plan = ShareSeals(KEY), Plan(connections=1)
        for number in range(17):
            share = Assignment(run_id=f"{number}", agent="b", plan=plan, connections=1)
            assert offer_of(fleet, share, seals.seal(share, digest_plan(plan))) == [f"{number}"]
        assert (await collect(fleet.daemon, own)).measurements is not None
        assert "has no run 0" in (await collect(fleet.daemon, "0")).refusal
        assert (await collect(fleet.daemon, "16")).measurements is not None

    play(scenario())


def test_the_roster_lists_agents_and_rejections() -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior(), Behavior(join_s=1, leave_s=2))
        await asyncio.sleep(5)
        fleet.simulation.registry.reject("a9", "wrong token")
        reply = fleet.daemon.roster(RosterRequest(protocol=PROTOCOL))
        assert [(each.agent, each.attached, each.leave_reason) for each in reply.agents] == [
            ("a0", True, ""),
            ("a1", False, "ended by SIGTERM"),
        ]
        assert list(reply.rejections) == ["a9: wrong token"]
        assert fleet.daemon.roster(RosterRequest(protocol=99)).HasField("refusal")

    play(scenario())


async def play_schedule(seed: int) -> None:
    """Let operators and agents come, fail and go at random; then everything must be collected and released."""
    source = random.Random(seed)
    faults = source.choice([0.0, 0.1, 0.3])
    fleet = Fleet()
    for number in range(source.randrange(1, 5)):
        fleet.simulation.add(f"a{number}", random_behavior(source, faults), source.randrange(2**32))
    operators = [
        _random_operator(source, len(fleet.simulation.agents)) for _ in range(source.randrange(1, 5))
    ]
    for operator in operators:
        await asyncio.sleep(source.uniform(0, 3))
        fleet.call(operator)
        if source.random() < 0.1:
            fleet.loop.call_later(source.uniform(0, 20), fleet.restart)
    await fleet.finish()
    for operator in operators:
        if operator.answers.measurements is not None:
            check_measurements(fleet.simulation, operator.answers.measurements, is_latest=False)
    await asyncio.sleep(CALM_S)
    await _check_everything_can_be_collected(fleet)


def _random_operator(source: random.Random, agents: int) -> Operator:
    run_request = random_request(source, agents)
    run_request.join_timeout_ns = min(run_request.join_timeout_ns, 10 * NS)
    return Operator(
        request=run_request,
        stop_s=source.uniform(0, 15) if source.random() < 0.2 else None,
        disconnect_s=source.choice([1.0, source.uniform(0, 15)]) if source.random() < 0.3 else None,
        confirms=source.random() < 0.9,
        pause_s=source.choice([0.0, 0.0, 0.1]),
    )


async def _check_everything_can_be_collected(fleet: Fleet) -> None:
    simulation = fleet.simulation
    present = [agent for agent in simulation.agents.values() if agent.stable_link is not None]
    assert not any(agent.is_loading for agent in present)
    held = {run_id for agent in present for run_id in agent.held}
    for run_id in held:
        answers = await collect(fleet.daemon, run_id)
        assert answers.measurements is not None, answers.refusal
        check_measurements(simulation, answers.measurements)
    able = [agent for agent in present if not agent.behavior.refusal]
    final = Operator(request=request(len(present), request_count=20))
    final.request.min_agents = len(able)
    if able:
        fleet.calls.clear()
        fleet.call(final)
        await fleet.finish()
        assert final.answers.measurements is not None, final.answers.refusal
        check_measurements(simulation, final.answers.measurements)
    await asyncio.sleep(1)
    for agent in present:
        assert (agent.held, agent.pending) == ({}, None), agent.name


@pytest.mark.parametrize("first", range(0, SCHEDULES, CHUNK))
def test_random_schedules(first: int) -> None:
    for seed in range(first, first + CHUNK):
        try:
            run(play_schedule(seed))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
