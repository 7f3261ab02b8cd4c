"""The coordinator takes agents through a run, whatever happens to them: single cases, then thousands of random schedules."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from heyfleet.controller.fleet.coordinator import RunCoordinator
from heyfleet.errors import CannotStartError
from heyfleet.proto.control_pb2 import RunRequest
from heyfleet.proto.plan_pb2 import Plan, Request, Target
from heyfleet.proto.stats_pb2 import Ready
from heyfleet.results.ledger import balance
from heyfleet.results.measurements import DONE, LOST, Measurements

from ....virtual_time import current_loop, run
from .schedules import check_measurements, random_behavior, random_request
from .simulation import NS, Behavior, Link, Simulation

SCHEDULES = 2000
CHUNK = 250
LONGEST_RUN_S = 1000.0
SETTLE_S = 1.0  # longer than any message takes


@dataclass
class Outcome:
    """One run of a fleet."""

    simulation: Simulation
    coordinator: RunCoordinator
    measurements: Measurements | None = None
    error: str = ""
    started_s: float = 0.0
    ended_s: float = 0.0

    @property
    def states(self) -> list[str]:
        assert self.measurements is not None
        return [part.state for part in self.measurements.agents]


def request(agents: int, **plan: Any) -> RunRequest:
    target = Target(scheme="http", host="simulated", port=80)
    fields = {"connections": 2 * agents, "duration_ns": 3 * NS, **plan}
    return RunRequest(
        plan=Plan(target=target, **fields),
        agents=agents,
        join_timeout_ns=10 * NS,
        lost_timeout_ns=15 * NS,
    )


def play(
    run_request: RunRequest, *behaviors: Behavior, stop_s: float | None = None, **options: Any
) -> Outcome:
    """Carry out a run with these agents, named a1, a2, ..."""

    def add_agents(simulation: Simulation) -> None:
        for number, behavior in enumerate(behaviors, 1):
            simulation.add(f"a{number}", behavior, number)

    return run(_play(run_request, add_agents, stop_s, options))


async def _play(
    run_request: RunRequest,
    add_agents: Callable[[Simulation], None],
    stop_s: float | None,
    options: dict[str, Any],
) -> Outcome:
    loop = current_loop()
    simulation = Simulation(loop)
    coordinator = RunCoordinator(simulation.registry, run_request, **options)
    simulation.registry.run_handler = coordinator
    add_agents(simulation)
    if stop_s is not None:
        loop.call_later(stop_s, coordinator.stop)
    outcome = Outcome(simulation, coordinator, started_s=loop.time())
    loop.call_later(SETTLE_S, _check_stopped, outcome, None)
    try:
        outcome.measurements = await asyncio.wait_for(coordinator.run(), LONGEST_RUN_S)
    except CannotStartError as error:
        outcome.error = str(error)
    outcome.ended_s = loop.time()
    if outcome.measurements is not None:
        check_measurements(simulation, outcome.measurements, coordinator.collector.started_ns)
    coordinator.release()
    await _check_released(outcome)
    return outcome


def _check_stopped(outcome: Outcome, stopped_s: float | None) -> None:
    """Check now and then that no agent that can be reached sends load after a stop."""
    loop = outcome.simulation.loop
    if stopped_s is None and outcome.coordinator.stopped:
        stopped_s = loop.time()
    if stopped_s is not None:
        for agent in outcome.simulation.agents.values():
            link = agent.stable_link
            if link is not None and loop.time() - max(stopped_s, link.attached_s) > SETTLE_S:
                assert not agent.is_loading, agent.name
    if not outcome.ended_s:
        loop.call_later(SETTLE_S / 2, _check_stopped, outcome, stopped_s)


async def _check_released(outcome: Outcome) -> None:
    """Check that no agent that can be reached still holds or does anything for the run."""
    agents = outcome.simulation.agents.values()
    done = (
        {part.agent for part in outcome.measurements.agents if part.state == DONE}
        if outcome.measurements
        else set()
    )
    links = {agent.name: agent.stable_link for agent in agents}
    await asyncio.sleep(SETTLE_S)
    for agent in agents:
        link: Link | None = links[agent.name]
        if link is None or agent.stable_link is not link:
            continue
        assert agent.pending is None, agent.name
        assert not agent.is_loading, agent.name
        if agent.name in done:
            assert agent.held == {}, agent.name
    outcome.simulation.registry.dismiss_all("over")
    await asyncio.sleep(SETTLE_S)
    for agent in agents:
        assert agent.stable_link is None or links[agent.name] is not agent.stable_link


def test_a_run_without_faults() -> None:
    outcome = play(request(3, request_count=30), Behavior(), Behavior(join_s=2), Behavior(prepare_s=3))
    assert outcome.states == [DONE, DONE, DONE]
    assert outcome.measurements is not None
    assert [part.share.request_count for part in outcome.measurements.agents] == [10, 10, 10]
    assert balance(outcome.measurements).planned == 30


def test_agents_start_at_one_instant_whatever_their_clocks_show() -> None:
    offsets = [0, -(10**15), 10**12]
    outcome = play(request(3), *(Behavior(clock_offset_ns=each) for each in offsets))
    assert outcome.measurements is not None
    starts = [
        agent.results[outcome.coordinator.run_id].started_s for agent in outcome.simulation.agents.values()
    ]
    for part in outcome.measurements.agents:
        assert part.first_worker_ns is not None
        assert abs(part.first_worker_ns) <= part.clock_uncertainty_ns + 1000
    assert max(starts) - min(starts) <= 0.02


def test_an_agent_that_answers_late_does_not_hold_up_the_start_of_the_others() -> None:
    run_request = request(2)
    run_request.join_timeout_ns = 100 * NS
    outcome = play(run_request, Behavior(), Behavior(answer_s=4.0))
    assert outcome.states == [DONE, DONE]
    first = outcome.simulation.agents["a1"].results[outcome.coordinator.run_id]
    assert outcome.simulation.registry.connections["a2"].clock.round_trip_ns > NS
    assert 3 < first.start_lead_s < 5  # and not 16


def test_an_agent_whose_readiness_is_impossible_takes_no_part() -> None:
    run_request = request(2)
    run_request.min_agents = 1
    outcome = play(run_request, Behavior(), Behavior(ready=Ready(workers=1, lookup_ns=2**64 - 1)))
    assert outcome.states == [DONE]
    (rejection,) = outcome.simulation.registry.rejections
    assert rejection.startswith("a2: its lookup_ns is 18446744073709551615")


def test_too_few_agents() -> None:
    outcome = play(request(3), Behavior(), Behavior())
    assert outcome.error.startswith("2 of 3 agents joined within 10 s; wait longer with --join-timeout")
    assert outcome.ended_s - outcome.started_s == pytest.approx(10)


def test_a_minimum_of_agents_suffices_after_the_timeout() -> None:
    run_request = request(3)
    run_request.min_agents = 2
    outcome = play(run_request, Behavior(), Behavior())
    assert outcome.states == [DONE, DONE]
    assert outcome.measurements is not None
    assert outcome.measurements.agents_requested == 3


def test_absent_agents_are_not_waited_for() -> None:
    run_request = request(3)
    run_request.min_agents = 2
    outcome = play(run_request, Behavior(), Behavior(), absent=lambda: ["i-1: no capacity"])
    assert outcome.states == [DONE, DONE]
    assert outcome.simulation.registry.rejections == ["i-1: no capacity"]
    assert outcome.ended_s - outcome.started_s < 9


def test_too_many_absent_agents_end_the_wait() -> None:
    outcome = play(request(2), Behavior(), absent=lambda: ["i-1: no capacity"])
    assert outcome.error == "i-1: no capacity"
    assert outcome.ended_s - outcome.started_s < 5


def test_the_shares_of_refusing_agents_are_dealt_to_the_others() -> None:
    run_request = request(3, request_count=30)
    run_request.min_agents = 2
    outcome = play(run_request, Behavior(), Behavior(refusal="no"), Behavior())
    assert outcome.measurements is not None
    assert [(part.agent, part.share.request_count) for part in outcome.measurements.agents] == [
        ("a1", 15),
        ("a3", 15),
    ]
    assert outcome.simulation.registry.rejections == ["a2: no"]


def test_agents_that_refuse_for_one_reason_share_a_line() -> None:
    outcome = play(request(3), Behavior(refusal="no"), Behavior(), Behavior(refusal="no"))
    assert outcome.error == "a1, a3: no"


def test_an_agent_without_a_connection_to_open_is_idle() -> None:
    outcome = play(request(2, connections=1), Behavior(), Behavior())
    assert outcome.states == [DONE]
    assert outcome.coordinator.measurements().rejections == (
        "a2 (simulated): no work left, because the plan has only 1 connections",
    )


def test_an_agent_that_leaves_while_it_prepares_is_left_out() -> None:
    run_request = request(2)
    run_request.min_agents = 1
    outcome = play(run_request, Behavior(prepare_s=5), Behavior(break_s=[1], reattach_s=20))
    assert outcome.states == [DONE]
    assert outcome.simulation.registry.rejections == ["a2: it left before the start"]


@pytest.mark.parametrize("break_s", [0.5, 1.0, 1.5, 2.0, 2.5])
def test_an_agent_whose_stream_breaks_while_it_prepares_prepares_again(break_s: float) -> None:
    flaky = Behavior(prepare_s=2, break_s=[break_s], notice_s=0.1, reattach_s=0.1)
    outcome = play(request(2), Behavior(prepare_s=8), flaky)
    assert outcome.states == [DONE, DONE]


def test_an_agent_that_comes_back_delivers_everything() -> None:
    outcome = play(request(2), Behavior(), Behavior(break_s=[2, 3.5]))
    assert outcome.states == [DONE, DONE]


def test_a_dead_agent_is_lost_after_the_timeout() -> None:
    outcome = play(request(2), Behavior(), Behavior(die_s=2.5))
    assert outcome.states == [DONE, LOST]
    assert outcome.measurements is not None
    assert outcome.measurements.agents[1].reason == "not heard from for 15 s after the others had ended"
    assert 18 < outcome.ended_s - outcome.started_s < 20


def test_a_dead_agent_is_not_waited_for_if_its_process_is_known_to_have_ended() -> None:
    outcome = play(
        request(2),
        Behavior(),
        Behavior(die_s=2.5),
        exit_reason=lambda agent: "killed" if agent == "a2" else "",
    )
    assert outcome.measurements is not None
    assert outcome.measurements.agents[1].reason == "killed"
    assert outcome.ended_s - outcome.started_s < 6


def test_a_restarted_agent_has_lost_its_results() -> None:
    outcome = play(request(2), Behavior(), Behavior(restart_s=2.5))
    assert outcome.states == [DONE, LOST]
    assert outcome.measurements is not None
    assert "restarted" in outcome.measurements.agents[1].reason


def test_an_agent_that_leaves_delivers_its_results() -> None:
    outcome = play(request(2, duration_ns=6 * NS), Behavior(), Behavior(leave_s=3))
    assert outcome.states == [DONE, DONE]
    assert outcome.measurements is not None
    assert outcome.measurements.agents[1].done is not None
    assert outcome.measurements.agents[1].done.stopped_by == "signal"


def test_a_stop_ends_the_load_and_the_results_follow() -> None:
    outcome = play(request(2, duration_ns=60 * NS), Behavior(), Behavior(), stop_s=5)
    assert outcome.states == [DONE, DONE]
    assert outcome.measurements is not None
    assert outcome.measurements.interrupted
    assert outcome.ended_s - outcome.started_s < 6


def test_after_a_stop_absent_agents_have_two_seconds() -> None:
    outcome = play(request(2, duration_ns=60 * NS), Behavior(), Behavior(die_s=3), stop_s=5)
    assert outcome.states == [DONE, LOST]
    assert outcome.ended_s - outcome.started_s < 8


@pytest.mark.parametrize("stop_s", [0.1, 1.0, 2.0])
def test_a_stop_before_the_start_sends_nothing(stop_s: float) -> None:
    outcome = play(request(2), Behavior(), Behavior(prepare_s=10), stop_s=stop_s)
    assert outcome.measurements is None
    assert outcome.error == ""


def test_a_threshold_of_abort_on_stops_the_load() -> None:
    run_request = request(2, duration_ns=60 * NS, abort_on=["p50>1us"], requests=[Request()])
    outcome = play(run_request, Behavior(), Behavior())
    assert outcome.measurements is not None
    assert outcome.measurements.aborted_by == "p50>1us"
    assert not outcome.measurements.interrupted
    assert outcome.ended_s - outcome.started_s < 8


def test_messages_about_another_run_are_ignored() -> None:
    outcome = play(request(1), Behavior())
    assert outcome.measurements is not None
    from heyfleet.proto.control_pb2 import FromAgent, Offer
    from heyfleet.proto.plan_pb2 import Assignment

    connection = outcome.simulation.registry.connections["a1"]
    before = outcome.measurements.stats.counters.copy()
    outcome.coordinator.on_message(
        connection, FromAgent(snapshot={"agent": "a1", "sequence": 99}, run_id="other")
    )
    assert outcome.measurements.stats.counters == before
    offer = Offer(assignment=Assignment(run_id="other", agent="a1"))
    assert outcome.coordinator.resume_after(connection, offer) is None


def play_schedule(seed: int) -> Outcome:
    """Play a run in which anything may happen."""
    source = random.Random(seed)
    count = source.randrange(1, 6)
    faults = source.choice([0.0, 0.1, 0.4])

    def add_agents(simulation: Simulation) -> None:
        for number in range(count):
            simulation.add(f"a{number}", random_behavior(source, faults), source.randrange(2**32))

    stop_s = source.uniform(0, 12) if source.random() < 0.2 else None
    run_request = random_request(source, count)
    known_exits = source.random() < 0.5
    simulations: list[Simulation] = []

    def add_and_remember(simulation: Simulation) -> None:
        simulations.append(simulation)
        add_agents(simulation)

    def exit_reason(agent: str) -> str:
        is_dead = (
            known_exits
            and simulations[0].agents[agent].behavior.die_s is not None
            and simulations[0].agents[agent].is_gone
        )
        return "killed" if is_dead else ""

    return run(_play(run_request, add_and_remember, stop_s, {"exit_reason": exit_reason}))


@pytest.mark.parametrize("first", range(0, SCHEDULES, CHUNK))
def test_random_schedules(first: int) -> None:
    for seed in range(first, first + CHUNK):
        try:
            play_schedule(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


@pytest.mark.parametrize("first", range(0, SCHEDULES // 4, CHUNK))
def test_broken_streams_and_duplicates_lose_nothing(first: int) -> None:
    for seed in range(first, first + CHUNK):
        source = random.Random(seed)
        behaviors = [random_behavior(source, 0.0) for _ in range(source.randrange(1, 5))]
        for behavior in behaviors:
            behavior.break_s = [source.uniform(17, 35) for _ in range(3)]
            behavior.duplicate_probability = 0.3
        run_request = random_request(source, len(behaviors))
        run_request.join_timeout_ns, run_request.lost_timeout_ns = 100 * NS, 15 * NS
        run_request.plan.duration_ns = 25 * NS
        outcome = play(run_request, *behaviors)
        assert outcome.measurements is not None, seed
        assert set(outcome.states) == {DONE}, seed
        ledger = balance(outcome.measurements)
        assert (ledger.missing, ledger.lost) == (0, 0), seed
