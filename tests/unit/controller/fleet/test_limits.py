"""Every state of a run has a time limit and a way out, also with agents that are attached and do nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from heyfleet.controller.fleet.coordinator import RunCoordinator
from heyfleet.proto.control_pb2 import FromAgent, FromOperator
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.stats_pb2 import Refusal
from heyfleet.results.measurements import DONE, LOST

from .operators import Operator, collect
from .simulation import NS, Behavior
from .test_coordinator import Outcome, play, request
from .test_daemon import Fleet
from .test_daemon import play as play_daemon
from .test_daemon import request as daemon_request


def reason_of(outcome: Outcome, number: int) -> str:
    assert outcome.measurements is not None
    return outcome.measurements.agents[number].reason


def test_a_preparation_without_an_end_is_given_up() -> None:
    outcome = play(request(2), Behavior(), Behavior(prepare_s=1e9))
    assert outcome.error == "a2: it was not ready after 150 s"
    assert outcome.simulation.agents["a2"].pending is None


def test_a_run_goes_on_without_an_agent_that_does_not_get_ready() -> None:
    wanted = request(2)
    wanted.min_agents = 1
    outcome = play(wanted, Behavior(), Behavior(prepare_s=1e9))
    assert outcome.states == [DONE]
    assert outcome.measurements is not None
    assert "a2: it was not ready after 150 s" in outcome.measurements.rejections


def test_streams_that_keep_breaking_do_not_prolong_the_preparation() -> None:
    breaks_s = [float(second) for second in range(2, 900, 2)]
    breaking = Behavior(prepare_s=1e9, break_s=breaks_s, reattach_s=0.1)
    outcome = play(request(1), breaking)
    assert outcome.error
    assert outcome.ended_s - outcome.started_s < 200


def test_an_agent_that_gives_its_load_up_is_lost_with_its_own_reason() -> None:
    outcome = play(request(2, duration_ns=20 * NS), Behavior(), Behavior(fail_s=8.5))
    assert outcome.states == [DONE, LOST]
    assert reason_of(outcome, 1) == "its disk is full"
    assert outcome.measurements is not None
    assert outcome.measurements.agents[1].stats.counters["sent"] > 0
    assert outcome.simulation.agents["a2"].held == {}  # released


def test_a_reason_is_heard_also_after_a_broken_stream() -> None:
    outcome = play(request(2, duration_ns=20 * NS), Behavior(), Behavior(fail_s=8.5, break_s=[8.45]))
    assert outcome.states == [DONE, LOST]
    assert reason_of(outcome, 1) == "its disk is full"


def test_an_attached_agent_without_results_is_lost() -> None:
    outcome = play(request(2, duration_ns=20 * NS), Behavior(), Behavior(mute_s=8.0))
    assert outcome.states == [DONE, LOST]
    assert reason_of(outcome, 1) == "it is attached, but sent no results for 90 s"


def test_an_agent_whose_load_does_not_end_is_lost() -> None:
    outcome = play(request(2), Behavior(), Behavior(is_endless=True))
    assert outcome.measurements is not None
    assert outcome.states[0] == DONE
    assert "its load did not end 600 s after it should have" in reason_of(outcome, 1)
    assert not outcome.simulation.agents["a2"].is_loading


def test_a_long_load_with_results_is_not_given_up() -> None:
    outcome = play(request(1, duration_ns=900 * NS), Behavior())
    assert outcome.states == [DONE]


@pytest.mark.parametrize("plan", [Plan(), Plan(connections=2**32 - 1)])
def test_a_daemon_refuses_a_plan_that_breaks_its_format(plan: Plan) -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior())
        bad = Operator(request=daemon_request(1))
        bad.request.plan.CopyFrom(plan)
        good = Operator(request=daemon_request(1))
        fleet.call(bad)
        fleet.call(good)
        await fleet.finish()
        assert "the target's scheme" in bad.answers.refusal
        assert bad.answers.statuses == []
        assert good.answers.measurements is not None

    play_daemon(scenario())


def test_an_operator_that_confirms_nothing_does_not_keep_others_waiting() -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior())
        silent, other = Operator(request=daemon_request(1)), Operator(request=daemon_request(1))
        silent.closes = False
        silent.confirms = False
        fleet.call(silent)
        fleet.call(other)
        await fleet.finish()
        assert other.answers.measurements is not None
        assert silent.answers.measurements is not None

    play_daemon(scenario())


def test_an_operator_that_calls_and_asks_for_nothing_is_not_waited_for() -> None:
    async def scenario() -> None:
        fleet = Fleet()

        async def nothing() -> AsyncIterator[FromOperator]:
            await asyncio.Event().wait()
            yield FromOperator()

        assert [answer async for answer in fleet.daemon.run(nothing())] == []

    play_daemon(scenario())


def test_a_finished_run_tells_why_an_agent_gave_up() -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior(), Behavior(fail_s=8.5))
        fleet.call(Operator(request=daemon_request(2, duration_ns=20 * NS), disconnect_s=12.0))
        await fleet.finish()
        answers = await collect(fleet.daemon)
        assert answers.measurements is not None
        assert {part.reason for part in answers.measurements.agents} == {"", "its disk is full"}

    play_daemon(scenario())


def test_a_refusal_after_the_end_of_a_run_is_heard() -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior(), Behavior(mute_s=8.0))
        fleet.call(Operator(request=daemon_request(2, duration_ns=20 * NS)))
        await fleet.finish()
        run_id = fleet.run_ids[0]
        connection = fleet.simulation.registry.connections["a1"]
        refusal = FromAgent(run_id=run_id, refusal=Refusal(reason="no memory"))
        fleet.simulation.registry.on_message(connection, refusal)
        answers = await collect(fleet.daemon, run_id)
        assert answers.measurements is not None
        assert [part.reason for part in answers.measurements.agents] == ["", "no memory"]

    play_daemon(scenario())


def test_no_load_goes_on_after_a_fault_of_the_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        fleet = Fleet(Behavior())
        fleet.call(Operator(request=daemon_request(1, duration_ns=3600 * NS)))
        await asyncio.sleep(10)
        assert fleet.simulation.agents["a0"].is_loading

        def fail(coordinator: RunCoordinator) -> None:
            raise KeyError("x")

        monkeypatch.setattr(RunCoordinator, "_lose_late_agents", fail)
        with pytest.raises(KeyError):
            await fleet.finish()
        await asyncio.sleep(3)
        assert not fleet.simulation.agents["a0"].is_loading

    play_daemon(scenario())
