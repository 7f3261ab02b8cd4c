"""What fails inside an agent, and what takes too long: the controller hears the cause, and the agent goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from heyfleet.agent.errors import DeniedError
from heyfleet.agent.policy import HostPolicy
from heyfleet.proto.control_pb2 import Ack, Dismissal, Release, ResumeFrom, Start, ToAgent, Welcome
from heyfleet.proto.plan_pb2 import RATE, Assignment, Plan, Target
from heyfleet.proto.stats_pb2 import Ready
from heyfleet.text import TEXT_LENGTH

from ... import plans
from ...virtual_time import current_loop, run
from .fake_controller import until
from .test_service import Attached, attached, in_virtual_time

UNFORESEEN = [
    KeyError("x"),
    IndexError("list index out of range"),
    OverflowError("too large"),
    RecursionError(),
]


async def wait_and_ping(at: Attached, seconds: float) -> None:
    """Let time pass without losing the lease."""
    for _ in range(round(seconds)):
        at.controller.ping()
        await asyncio.sleep(1)


async def refusal_of(at: Attached, run_id: str, limit_s: float = 1000) -> str:
    """Wait for a refusal, renewing the lease meanwhile."""
    deadline_s = current_loop().time() + limit_s
    while run_id not in at.controller.refusals:
        assert current_loop().time() < deadline_s, "it was never refused"
        await wait_and_ping(at, 1)
    return at.controller.refusals[run_id]


@pytest.mark.parametrize("error", UNFORESEEN)
def test_any_failure_of_a_preparation_is_a_refusal(tmp_path: Path, error: Exception) -> None:
    async def scenario() -> None:
        async with attached(tmp_path) as at:
            at.world.answer = error
            at.controller.assign("r1")
            assert "it can't prepare the run" in await refusal_of(at, "r1")
            at.world.answer = Ready(addresses=["127.0.0.1"])
            await at.completed("r2")

    run(scenario())


@pytest.mark.parametrize("error", [*UNFORESEEN, RuntimeError("can't start new thread")])
def test_a_load_that_can_not_be_started_is_a_failure_of_the_run(tmp_path: Path, error: Exception) -> None:
    async def scenario() -> None:
        async with attached(tmp_path) as at:
            await at.prepared("r1")
            at.world.start_error = error
            at.controller.start("r1")
            assert "its load can't be started" in await refusal_of(at, "r1")
            assert at.world.runners[0].stopped.is_set()
            at.world.start_error = None
            at.controller.release("r1")
            await at.completed("r2")
            assert at.files == ["r2.a1.records"]

    run(scenario())


@pytest.mark.parametrize("error", [*UNFORESEEN, MemoryError()])
def test_results_that_can_not_be_collected_are_a_failure_of_the_run(tmp_path: Path, error: Exception) -> None:
    async def scenario() -> None:
        async with attached(tmp_path) as at:
            at.world.results_error = error
            await at.started("r1", duration_s=3600)
            assert "its results can't be collected" in await refusal_of(at, "r1")
            assert sorted(at.controller.runs["r1"].snapshots) == [1]
            at.world.results_error = None
            at.controller.release("r1")
            await until(lambda: not at.service.kept_files)
            await at.completed("r2")

    run(scenario())


@in_virtual_time
async def test_a_failure_is_told_again_after_the_stream_has_broken(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        at.world.results_error = KeyError("x")
        await at.started("r1", duration_s=3600)
        reason = await refusal_of(at, "r1")
        at.controller.break_stream()
        at.controller.refusals.clear()
        await until(lambda: not at.service.is_attached)
        assert await refusal_of(at, "r1") == reason
        assert at.controller.offers == ["r1"]


@in_virtual_time
async def test_a_preparation_without_an_end_is_refused(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        at.world.prepare_s = 1e6
        at.controller.assign("r1")
        assert "its connections were not ready after" in await refusal_of(at, "r1")
        assert at.world.runners[0].stopped.is_set()
        at.world.prepare_s = 1.0
        await at.completed("r2")


@in_virtual_time
async def test_a_run_that_is_ready_and_never_started_is_given_up(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.prepared("r1")
        assert "no order to start came" in await refusal_of(at, "r1")
        assert at.world.runners[0].stopped.is_set()
        assert at.files == []


@in_virtual_time
async def test_a_load_that_gives_no_results_is_given_up(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.started("r1", duration_s=3600)
        at.world.is_stuck = True
        assert "its load gave no results for" in await refusal_of(at, "r1")
        assert at.world.runners[0].stopped.is_set()
        at.controller.assign("r2")
        assert "still busy with run r1" in await refusal_of(at, "r2")
        at.world.is_stuck = False
        await at.until_complete("r1")


@in_virtual_time
async def test_a_load_that_gives_results_may_take_any_time(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.completed("r1", duration_s=1000)
        assert at.controller.refusals == {}
        await wait_and_ping(at, 1000)
        assert at.controller.refusals == {}


@in_virtual_time
async def test_results_lost_by_a_full_disk_and_a_broken_stream_are_reported(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.started("r1", duration_s=3600)
        await until(lambda: at.controller.runs["r1"].snapshots)
        at.world.disk_error = OSError(28, "No space left on device")
        at.controller.break_stream()
        await until(lambda: not at.service.is_attached)
        at.service.detach()
        await asyncio.sleep(1.5)
        at.world.disk_error = None
        reason = await refusal_of(at, "r1")
        assert "No space left on device" in reason
        assert len([line for line in at.world.log if "can't write" in line]) == 1
        at.controller.release("r1")
        await until(lambda: not at.service.kept_files)
        await at.completed("r2")


@in_virtual_time
async def test_no_more_than_sixteen_unreleased_runs_are_held(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        for number in range(20):
            await at.completed(f"r{number}", duration_s=0.5)
        assert len(at.service.kept_files) == 16
        assert len(at.files) == 20
        assert any("run r0 was never released" in line for line in at.world.log)


BAD_PLANS = {
    "no requests": plans.plan(requests=[]),
    "no stages": plans.plan(load_model=RATE),
    "an unknown load model": plans.plan(load_model=9),
    "a weight of 4e9": plans.plan(requests=[plans.get(weight=4_000_000_000)]),
    "a NUL in the host": plans.plan(target=Target(scheme="http", host="127.0.0.1\0.example.com", port=80)),
    "nothing": Plan(),
}


@pytest.mark.parametrize("policy", [HostPolicy(), HostPolicy(max_rate=5, targets=("*.example.com",))])
@pytest.mark.parametrize("kind", BAD_PLANS)
def test_a_plan_that_breaks_its_format_is_refused(tmp_path: Path, kind: str, policy: HostPolicy) -> None:
    async def scenario() -> None:
        async with attached(tmp_path, policy=policy) as at:
            at.controller.send(ToAgent(assignment=plans.whole(BAD_PLANS[kind]), run_id="r1"))
            assert "it can't carry out the assignment" in await refusal_of(at, "r1")
            assert at.world.runners == []
            assert at.service.is_attached

    run(scenario())


@pytest.mark.parametrize("run_id", ["../../../x", "/x", "a/b", "..", "a\0b", "", "a" * 33])
def test_a_run_id_never_leads_out_of_the_spool(tmp_path: Path, run_id: str) -> None:
    async def scenario() -> None:
        folder = tmp_path / "a" / "b" / "spool"
        folder.mkdir(parents=True)
        async with attached(folder) as at:
            assignment = plans.whole(plans.plan(), run_id=run_id)
            at.controller.send(ToAgent(assignment=assignment, run_id=run_id))
            await until(lambda: at.world.log)
            at.controller.send(ToAgent(start=Start(at_ns=current_loop().now_ns()), run_id=run_id))
            at.controller.send(ToAgent(release=Release(), run_id=run_id))
            await asyncio.sleep(3)
            assert at.world.runners == []
            assert at.service.is_attached

    run(scenario())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("assignment", "reason"),
    [
        (plans.whole(plans.plan(), agent="a2"), "for another agent, a2"),
        (plans.whole(plans.plan(), run_id="r2"), "for another run, r2"),
    ],
)
def test_an_assignment_for_others_is_refused(tmp_path: Path, assignment: Assignment, reason: str) -> None:
    async def scenario() -> None:
        async with attached(tmp_path) as at:
            at.controller.send(ToAgent(assignment=assignment, run_id="r1"))
            assert reason in await refusal_of(at, "r1")

    run(scenario())


@pytest.mark.parametrize("from_now_s", [-3600, 3600, -1e9, 1e9])
def test_a_start_at_another_time_is_a_failure_of_the_run(tmp_path: Path, from_now_s: float) -> None:
    async def scenario() -> None:
        async with attached(tmp_path) as at:
            await at.prepared("r1")
            at_ns = current_loop().now_ns() + round(from_now_s * 1e9)
            at.controller.send(ToAgent(start=Start(at_ns=at_ns), run_id="r1"))
            assert "by this host's clock" in await refusal_of(at, "r1")
            assert at.world.active is None
            assert at.files == []

    run(scenario())


@pytest.mark.parametrize("lease_ns", [1, 2**63, 2**64 - 1, 3601 * 10**9])
def test_a_lease_without_sense_ends_the_agent(tmp_path: Path, lease_ns: int) -> None:
    async def scenario() -> None:
        async with attached(tmp_path) as at:
            with pytest.raises(DeniedError, match="grants a lease of"):
                at.service.on_message(ToAgent(welcome=Welcome(lease_ns=lease_ns)))

    run(scenario())


@pytest.mark.parametrize("run_ids", [["r1"] * 2, [f"r{number}" for number in range(17)]])
def test_a_controller_that_asks_for_results_too_often_ends_the_agent(
    tmp_path: Path, run_ids: list[str]
) -> None:
    """Each time, the agent would read the whole run from its disk."""

    async def scenario() -> None:
        async with attached(tmp_path) as at:
            resume_from = [ResumeFrom(run_id=run_id) for run_id in run_ids]
            with pytest.raises(DeniedError, match="asks for the results of"):
                at.service.on_message(ToAgent(welcome=Welcome(resume_from=resume_from)))

    run(scenario())


def test_what_a_controller_says_takes_one_short_line_of_the_log(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with attached(tmp_path) as at:
            at.service.on_message(ToAgent(ack=Ack(sequence=1, refusal_reason="x" * 100_000), run_id="r1"))
            at.service.on_message(ToAgent(dismissal=Dismissal(reason="y" * 100_000)))
            assert len(at.service.dismissal_reason) == TEXT_LENGTH
            assert max(map(len, at.world.log)) < 2 * TEXT_LENGTH

    run(scenario())
