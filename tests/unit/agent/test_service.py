"""The agent's service, one situation at a time, in virtual time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from heyfleet.agent.errors import UnreachableError
from heyfleet.agent.service import AgentService
from heyfleet.agent.spool import read_records
from heyfleet.proto.control_pb2 import Ack, ToAgent
from heyfleet.proto.stats_pb2 import Ready, Refusal

from ...virtual_time import current_loop, run
from .fake_controller import LEASE_S, LEASE_SLACK_S, FakeController, World, until


class Attached:
    """A service, its world, and the controller that it is attached to, over and over while streams break."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.world = World()
        self.service = self.world.service(folder, **options)
        self.controller = FakeController(self.world)

    async def attach(self) -> None:
        """Serve streams until the service has left."""
        while not self.service.left.is_set():
            try:
                await self.controller.attach("", None, self.service)
            except UnreachableError:
                await asyncio.sleep(0.1)

    async def prepared(self, run_id: str, **plan: Any) -> None:
        """Assign a run and wait until it is ready."""
        self.controller.assign(run_id, **plan)
        await until(lambda: self.controller.runs.get(run_id) and self.controller.runs[run_id].ready)

    async def started(self, run_id: str, **plan: Any) -> None:
        """Assign and start a run."""
        await self.prepared(run_id, **plan)
        self.controller.start(run_id)
        await until(lambda: self.world.active)

    async def completed(self, run_id: str, **plan: Any) -> None:
        """Assign and start a run, and wait until its results have arrived."""
        await self.started(run_id, **plan)
        await self.until_complete(run_id)

    async def until_complete(self, run_id: str) -> None:
        """Wait until a run's results have arrived, renewing the lease meanwhile."""
        while not self.controller.runs[run_id].is_complete:
            self.controller.ping()
            await asyncio.sleep(0.5)

    @property
    def files(self) -> list[str]:
        """Names of the spool files."""
        return sorted(path.name for path in self.folder.iterdir())


@asynccontextmanager
async def attached(folder: Path, **options: Any) -> AsyncIterator[Attached]:
    """Attach a service to a controller."""
    made = Attached(folder, **options)
    tasks = [
        asyncio.ensure_future(made.attach()),
        asyncio.ensure_future(made.service.enforce_lease()),
        asyncio.ensure_future(made.world.watch_lease()),
    ]
    await until(lambda: made.service.is_attached)
    try:
        yield made
    finally:
        for task in tasks:
            if task.done():
                task.result()
            task.cancel()
        made.service.close()


Scenario = Callable[[Path], Coroutine[Any, Any, None]]


def in_virtual_time(scenario: Scenario) -> Callable[[Path], None]:
    """Make a test of a scenario."""

    def test(tmp_path: Path) -> None:
        run(scenario(tmp_path))

    test.__doc__ = scenario.__doc__
    return test


@in_virtual_time
async def test_a_run_from_assignment_to_release(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.completed("r1", duration_s=3.5)
        assert [record.WhichOneof("record") for record in read_records(tmp_path / "r1.a1.records")] == [
            "assignment", "ready", "snapshot", "snapshot", "snapshot", "snapshot", "done",
        ]  # fmt: skip
        assert at.controller.runs["r1"].done is not None
        assert at.controller.runs["r1"].done.stopped_by == "duration"
        at.controller.release("r1")
        await until(lambda: not at.files)
        assert at.service.kept_files == []
        await at.completed("r2")


@in_virtual_time
async def test_results_are_kept_after_their_release_if_the_owner_wants_that(tmp_path: Path) -> None:
    async with attached(tmp_path, keep_results=True) as at:
        await at.completed("r1")
        at.controller.release("r1")
        await until(lambda: not at.service.kept_files)
        assert at.files == ["r1.a1.records"]


@in_virtual_time
async def test_a_release_during_the_load_is_ignored(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.started("r1")
        at.controller.release("r1")
        await at.until_complete("r1")
        assert at.files == ["r1.a1.records"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Refusal(reason="-c 4 is more than 3 ports"), "-c 4 is more than 3 ports"),
        (OSError("no io_uring"), "it can't prepare the run: no io_uring"),
        (MemoryError(), "it can't prepare the run: MemoryError"),
    ],
)
def test_a_run_that_cannot_be_prepared_is_refused(
    tmp_path: Path, answer: Refusal | Exception, reason: str
) -> None:
    async def scenario() -> None:
        async with attached(tmp_path) as at:
            at.world.answer = answer
            at.controller.assign("r1")
            await until(lambda: at.controller.refusals)
            assert at.controller.refusals == {"r1": reason}
            at.world.answer = Ready(addresses=["127.0.0.1"])
            await at.completed("r2")
            assert at.files == ["r2.a1.records"]

    run(scenario())


@in_virtual_time
async def test_a_run_whose_results_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        os.rmdir(tmp_path)
        at.controller.assign("r1")
        await until(lambda: at.controller.refusals)
        assert "it can't keep results in" in at.controller.refusals["r1"]
        assert at.world.runners[0].stopped.is_set()
        os.mkdir(tmp_path)


@in_virtual_time
async def test_a_busy_agent_refuses_another_run(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.started("r1")
        at.controller.assign("r2")
        await until(lambda: at.controller.refusals)
        assert at.controller.refusals == {"r2": "it is still busy with run r1"}
        await at.until_complete("r1")


@in_virtual_time
async def test_a_run_whose_results_are_held_is_not_assigned_again(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.completed("r1")
        before = (tmp_path / "r1.a1.records").read_bytes()
        at.controller.assign("r1")
        await until(lambda: at.controller.refusals)
        assert at.controller.refusals == {"r1": "it still holds the results of run r1"}
        assert (tmp_path / "r1.a1.records").read_bytes() == before


@in_virtual_time
async def test_an_assignment_replaces_one_that_was_not_started(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.prepared("r1")
        await at.prepared("r2")
        assert at.world.runners[0].stopped.is_set()
        assert at.files == ["r2.a1.records"]
        at.controller.start("r1")
        at.controller.start("r3")
        await asyncio.sleep(1)
        assert at.world.active is None
        at.controller.start("r2")
        await until(lambda: at.world.active is at.world.runners[1])


@in_virtual_time
async def test_a_repeated_assignment_is_answered_and_not_prepared_again(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        at.controller.assign("r1")
        at.controller.assign("r1")
        await until(lambda: at.controller.runs.get("r1") and at.controller.runs["r1"].ready)
        del at.controller.runs["r1"]
        at.controller.assign("r1")
        at.controller.start("r1")
        await until(lambda: at.world.active)
        assert at.controller.runs["r1"].ready
        assert len(at.world.runners) == 1


@in_virtual_time
async def test_a_stop_during_preparation_leaves_nothing(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        at.controller.assign("r1")
        await until(lambda: at.world.runners)
        at.controller.stop("r1")
        await asyncio.sleep(2)
        assert at.world.runners[0].stopped.is_set()
        assert not at.controller.runs
        at.controller.start("r1")
        await asyncio.sleep(1)
        assert at.world.active is None
        assert at.files == []


@in_virtual_time
async def test_a_stop_ends_the_load_and_its_results_follow(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.started("r1", duration_s=3600)
        await asyncio.sleep(1.5)
        at.controller.stop("other")
        at.controller.stop("r1")
        await at.until_complete("r1")
        done = at.controller.runs["r1"].done
        assert done is not None
        assert (done.stopped_by, done.last_sequence) == ("signal", 2)


@in_virtual_time
async def test_after_a_broken_stream_only_what_is_missing_is_sent_again(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.started("r1", duration_s=6)
        await until(lambda: len(at.controller.runs["r1"].snapshots) == 2)
        at.controller.break_stream()
        await until(lambda: not at.service.is_attached)
        await until(lambda: at.controller.streams == 2)
        begin = len(at.controller.received)
        assert at.controller.offers == ["r1"]
        await at.until_complete("r1")
        sequences = [
            message.snapshot.sequence
            for message in at.controller.received[begin:]
            if message.HasField("snapshot")
        ]
        assert sorted(set(sequences)) == [3, 4, 5, 6]


@in_virtual_time
async def test_a_controller_that_lost_everything_gets_everything_again(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.completed("r1")
        at.controller.forget()
        at.controller.break_stream()
        await until(lambda: "r1" in at.controller.runs)
        await at.until_complete("r1")
        assert at.controller.runs["r1"].ready


@in_virtual_time
async def test_a_silent_controller_ends_the_load_with_its_lease(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.started("r1", duration_s=3600)
        at.controller.reachable = False
        at.controller.break_stream()
        await asyncio.sleep(LEASE_S - LEASE_SLACK_S)
        assert not at.world.runners[0].stopped.is_set()
        await asyncio.sleep(2 * LEASE_SLACK_S)
        assert at.world.active is None
        assert "run r1: nothing heard from the controller for 3 s, load stopped" in at.world.log
        at.controller.reachable = True
        await until(lambda: at.controller.runs["r1"].is_complete)
        done = at.controller.runs["r1"].done
        assert done is not None
        assert done.stopped_by == "lease"


@in_virtual_time
async def test_a_lease_that_expires_gives_up_a_preparation(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.prepared("r1")
        await asyncio.sleep(LEASE_S + LEASE_SLACK_S)
        assert at.world.runners[0].stopped.is_set()
        assert at.files == []


@in_virtual_time
async def test_a_full_disk_is_logged_and_results_are_still_sent(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.started("r1")
        at.world.disk_error = OSError(28, "No space left on device")
        await at.until_complete("r1")
        assert any(
            "No space left on device; results are sent, but not kept here" in line for line in at.world.log
        )


@in_virtual_time
async def test_results_that_cannot_be_read_again_are_logged(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.completed("r1")
        at.controller.forget()
        (tmp_path / "r1.a1.records").unlink()
        at.controller.break_stream()
        await until(lambda: any("can't read the results kept here" in line for line in at.world.log))


@in_virtual_time
async def test_a_snapshot_that_the_controller_refuses_is_logged(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        at.controller.send(ToAgent(ack=Ack(sequence=3, refusal_reason="it goes backwards"), run_id="r1"))
        await until(lambda: at.world.log)
        assert at.world.log == ["run r1: the controller refused snapshot 3: it goes backwards"]


@in_virtual_time
async def test_a_drain_delivers_the_results_of_the_load_that_it_ends(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.started("r1", duration_s=3600)
        draining = asyncio.ensure_future(at.service.drain("ended by SIGTERM"))
        await until(lambda: at.controller.runs["r1"].is_complete)
        assert not draining.done()
        at.controller.assign("r2")
        at.controller.release("r1")
        await draining
        assert at.controller.said_bye == "ended by SIGTERM"
        assert at.controller.refusals == {"r2": "it is leaving (ended by SIGTERM)"}
        assert at.files == []


@in_virtual_time
async def test_a_drain_does_not_wait_forever_for_a_release(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.completed("r1")
        begin_s = current_loop().time()
        await at.service.drain("ended by SIGTERM")
        assert 5 <= current_loop().time() - begin_s < 6.5
        assert at.service.kept_files == [tmp_path / "r1.a1.records"]


@in_virtual_time
async def test_a_drain_without_a_controller_waits_only_for_the_end_of_the_load(tmp_path: Path) -> None:
    async with attached(tmp_path) as at:
        await at.started("r1", duration_s=3600)
        at.controller.reachable = False
        at.controller.break_stream()
        await until(lambda: not at.service.is_attached)
        begin_s = current_loop().time()
        await at.service.drain("ended by SIGTERM")
        assert current_loop().time() - begin_s < 1
        assert at.world.active is None
        assert [record.WhichOneof("record") for record in read_records(tmp_path / "r1.a1.records")][
            -1
        ] == "done"


def test_a_service_that_is_alone_has_nothing_to_say(tmp_path: Path) -> None:
    async def scenario() -> None:
        service = AgentService("a1", tmp_path)
        assert service.hello().agent == "a1"
        assert not service.is_attached
        await service.drain("over")
        assert service.left.is_set()

    run(scenario())
