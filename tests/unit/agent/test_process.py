"""The agent process in virtual time: its situations one by one, and random schedules from join to exit."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from heyfleet.agent.credentials import Certificate, Token
from heyfleet.agent.errors import DeniedError, UnreachableError
from heyfleet.agent.lifecycle import AgentProcess, Options
from heyfleet.agent.service import AgentService
from heyfleet.agent.spool import read_records
from heyfleet.errors import ExitCode, HeyfleetError
from heyfleet.proto.control_pb2 import ToAgent, Welcome

from ...virtual_time import current_loop, run
from .fake_controller import LEASE_S, FakeController, World, until

TOKEN = Token("id", "secret", b"", b"")
SCHEDULES = 200  # in a block; there are ten blocks


class ProcessHarness:
    """One agent process, its world and its controller."""

    def __init__(self, folder: Path, seed: int = 0, *, local: bool = False, faulty: bool = False) -> None:
        self.folder = folder
        self.world = World(seed, faulty=faulty)
        self.controller = FakeController(self.world)
        self.exits: list[int] = []
        self.service: AgentService | None = None
        options = Options(
            address="unix:/s" if local else "boss:7700",
            token=None if local else TOKEN,
            name="a1",
            folder=folder,
            rejoin_timeout_s=30.0,
        )
        self.process = AgentProcess(
            options,
            self.world.record,
            client=self.controller,
            new_service=self._new_service,
            clock_ns=current_loop().now_ns,
            exit_now=self.exits.append,
        )
        self.task = asyncio.ensure_future(self.process.run())
        self.watchdog = asyncio.ensure_future(self.world.watch_lease())

    def _new_service(self, agent: str, folder: Path, **options: Any) -> AgentService:
        self.service = self.world.service(folder, agent, **options)
        return self.service

    async def attached(self) -> None:
        """Wait until the agent is attached."""
        await until(lambda: self.service is not None and self.service.is_attached)

    async def started(self, run_id: str, **plan: Any) -> None:
        """Assign and start a run."""
        await self.attached()
        self.controller.assign(run_id, **plan)
        await until(lambda: run_id in self.controller.runs and self.controller.runs[run_id].ready)
        self.controller.start(run_id)
        await until(lambda: self.world.active)

    async def end(self) -> int:
        """Wait for the end of the process and return its exit code; no load may be left."""
        try:
            return await asyncio.wait_for(self.task, 1000)
        except HeyfleetError as error:
            self.world.log.append(str(error))
            return error.exit_code
        finally:
            assert self.world.active is None, "the process ended and its load did not"
            assert self.world.early_stops == []
            if self.watchdog.done():
                self.watchdog.result()
            self.watchdog.cancel()


def with_process(scenario: Callable[[ProcessHarness], Awaitable[None]]) -> Callable[[Path], None]:
    """Make a test of a scenario in one agent's harness."""

    def test(tmp_path: Path) -> None:
        async def main() -> None:
            await scenario(ProcessHarness(tmp_path))

        run(main())

    test.__doc__ = scenario.__doc__
    return test


@with_process
async def test_a_dismissed_agent_ends_with_0(harness: ProcessHarness) -> None:
    await harness.attached()
    harness.controller.dismiss()
    assert await harness.end() == ExitCode.OK
    assert harness.controller.said_bye == "dismissed"
    assert harness.world.log == ["joined boss:7700 as a1-1", "dismissed: the run is over"]


@with_process
async def test_a_dismissal_during_a_load_ends_it_and_names_the_results(harness: ProcessHarness) -> None:
    await harness.started("r1", duration_s=3600)
    harness.controller.dismiss()
    assert await harness.end() == ExitCode.OK
    path = harness.folder / "r1.a1-1.records"
    assert harness.world.log[-1] == f"dismissed: the run is over; results are kept in {path}"
    assert [record.WhichOneof("record") for record in read_records(path)][-1] == "done"


@with_process
async def test_a_controller_that_dismisses_and_vanishes_is_not_looked_for(harness: ProcessHarness) -> None:
    await harness.started("r1", duration_s=3600)
    harness.controller.dismiss()
    await until(lambda: harness.service is not None and harness.service.dismissal_reason)
    harness.controller.reachable = False
    harness.controller.break_stream()
    begin_s = current_loop().time()
    assert await harness.end() == ExitCode.OK
    assert current_loop().time() - begin_s < 1


def test_an_agent_of_this_host_needs_no_token(tmp_path: Path) -> None:
    async def scenario() -> None:
        harness = ProcessHarness(tmp_path, local=True)
        await harness.attached()
        assert harness.service is not None
        assert harness.service.agent == "a1"
        assert harness.controller.joins == 0
        harness.controller.dismiss()
        assert await harness.end() == ExitCode.OK

    run(scenario())


@with_process
async def test_an_agent_that_starts_first_waits_for_its_controller(harness: ProcessHarness) -> None:
    harness.controller.reachable = False
    await asyncio.sleep(20)
    line = "the controller at boss:7700 can't be reached (Connection refused); trying for 30s"
    assert harness.world.log == [line]
    # 50 ms at first, then twice as long each time, up to 2 s.
    assert harness.controller.joins == 15
    harness.controller.reachable = True
    await harness.attached()
    harness.controller.dismiss()
    assert await harness.end() == ExitCode.OK


@with_process
async def test_an_agent_gives_up_after_the_rejoin_timeout(harness: ProcessHarness) -> None:
    begin_s = current_loop().time()
    harness.controller.reachable = False
    with pytest.raises(UnreachableError, match=r"gave up: .* was not reached for 30s \(Connection refused\)"):
        await harness.task
    assert 30 <= current_loop().time() - begin_s < 33
    harness.watchdog.cancel()


@with_process
async def test_the_rejoin_timeout_begins_when_the_controller_was_last_heard(harness: ProcessHarness) -> None:
    await harness.attached()
    await asyncio.sleep(100)
    harness.controller.reachable = False
    harness.controller.break_stream()
    begin_s = current_loop().time()
    assert await harness.end() == ExitCode.FAULT
    assert 30 <= current_loop().time() - begin_s < 33


@with_process
async def test_results_outlive_an_agent_that_gives_up(harness: ProcessHarness) -> None:
    await harness.started("r1", duration_s=3600)
    harness.controller.reachable = False
    harness.controller.break_stream()
    assert await harness.end() == ExitCode.FAULT
    path = harness.folder / "r1.a1-1.records"
    assert harness.world.log[-1].endswith(f"; results are kept in {path}")
    last = list(read_records(path))[-1]
    assert last.done.stopped_by == "lease"


@with_process
async def test_a_join_that_is_denied_is_not_tried_again(harness: ProcessHarness) -> None:
    harness.controller.denial = "the secret of its token is wrong"
    with pytest.raises(DeniedError, match="secret"):
        await harness.task
    assert harness.controller.joins == 1
    harness.watchdog.cancel()


@with_process
async def test_a_denied_agent_does_not_go_on_with_its_load(harness: ProcessHarness) -> None:
    await harness.started("r1", duration_s=3600)
    harness.controller.denial = "no agent of this controller"
    harness.controller.break_stream()
    assert await harness.end() == ExitCode.CANNOT_START
    assert harness.world.log[-1].startswith("no agent of this controller; results are kept in ")


@with_process
async def test_a_signal_delivers_the_results_first(harness: ProcessHarness) -> None:
    await harness.started("r1", duration_s=3600)
    current_loop().raise_signal(signal.SIGTERM)
    await until(lambda: harness.controller.runs["r1"].is_complete)
    harness.controller.release("r1")
    assert await harness.end() == ExitCode.TERMINATED
    assert harness.controller.said_bye == "ended by SIGTERM"
    assert harness.exits == []


@with_process
async def test_a_signal_before_the_controller_is_reached_ends_at_once(harness: ProcessHarness) -> None:
    harness.controller.reachable = False
    await asyncio.sleep(10)
    begin_s = current_loop().time()
    current_loop().raise_signal(signal.SIGINT)
    assert await harness.end() == ExitCode.INTERRUPTED
    assert current_loop().time() - begin_s < 0.1


@with_process
async def test_a_signal_without_a_controller_names_the_results(harness: ProcessHarness) -> None:
    await harness.started("r1", duration_s=3600)
    harness.controller.reachable = False
    harness.controller.break_stream()
    await asyncio.sleep(1)
    current_loop().raise_signal(signal.SIGINT)
    assert await harness.end() == ExitCode.INTERRUPTED
    assert harness.world.log[-1] == f"results are kept in {harness.folder / 'r1.a1-1.records'}"


@with_process
async def test_a_denial_during_a_drain_does_not_cut_it_short(harness: ProcessHarness) -> None:
    harness.world.stop_s = 2.0
    await harness.started("r1", duration_s=3600)
    current_loop().raise_signal(signal.SIGINT)
    harness.controller.denial = "no agent of this controller"
    harness.controller.break_stream()
    assert await harness.end() == ExitCode.INTERRUPTED
    assert [record.WhichOneof("record") for record in read_records(harness.folder / "r1.a1-1.records")][
        -1
    ] == "done"


@with_process
async def test_a_second_signal_ends_at_once(harness: ProcessHarness) -> None:
    await harness.started("r1", duration_s=3600)
    current_loop().raise_signal(signal.SIGINT)
    assert harness.exits == []
    current_loop().raise_signal(signal.SIGTERM)
    assert harness.exits == [ExitCode.TERMINATED]
    assert await harness.end() == ExitCode.INTERRUPTED


class Schedule:
    """One agent process to which anything happens at any time, and whose results must all be accounted for."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = Random(seed)
        self.harness = ProcessHarness(folder, seed, local=seed % 4 == 0, faulty=True)
        self.controller = self.harness.controller
        self.run_ids: list[str] = []
        self.released: set[str] = set()
        self.pinging = True
        self._pings = asyncio.ensure_future(self._ping())

    async def play(self) -> None:
        """Let things happen, and end the agent in one of several ways."""
        for _ in range(self.random.randrange(5, 30)):
            await asyncio.sleep(self.random.choice([0.0, 0.02, 0.3, 1.0, 2.5]))
            self.random.choice(
                [self._assign, self._assign, self._start, self._start, self._start, self._stop,
                 self._release_complete, self._break, self._break, self._restart, self._go_away,
                 self._toggle_silence]
            )()  # fmt: skip
        ending = self.random.choice([self._settle, self._settle, self._signal, self._deny, self._vanish])
        code = await ending()
        if self._pings.done():
            self._pings.result()
        self._pings.cancel()
        self._check(code)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            if self.pinging:
                self.controller.ping()

    # What happens

    def _assign(self) -> None:
        again = self.run_ids and self.random.random() < 0.2
        run_id = self.random.choice(self.run_ids) if again else f"r{len(self.run_ids)}"
        if run_id in self.released:
            return
        self.run_ids += [] if again else [run_id]
        self.controller.assign(run_id, duration_s=self.random.choice([0.5, 2.0, 5.0, 60.0]))

    def _start(self) -> None:
        ready = [run_id for run_id, received in self.controller.runs.items() if received.ready]
        if ready:
            self.controller.start(self.random.choice(ready[-2:]))

    def _stop(self) -> None:
        if self.run_ids:
            self.controller.stop(self.random.choice(self.run_ids[-2:]))

    def _release_complete(self) -> None:
        for run_id, received in self.controller.runs.items():
            if received.is_complete and run_id not in self.released:
                self.released.add(run_id)
                self.controller.release(run_id)

    def _break(self) -> None:
        self.controller.break_stream()

    def _restart(self) -> None:
        self.controller.forget()
        self.controller.break_stream()

    def _go_away(self) -> None:
        self.controller.reachable = not self.controller.reachable
        self.controller.break_stream()

    def _toggle_silence(self) -> None:
        self.pinging = not self.pinging

    # How it ends

    async def _settle(self) -> int:
        """Come back, collect what is missing, and dismiss the agent."""
        self.controller.reachable = self.pinging = True
        if self.harness.task.done():  # it gave up
            return await self.harness.end()
        begin = self.controller.streams
        self.controller.break_stream()
        await until(lambda: self.controller.streams > begin or self.harness.task.done())
        await self.harness.attached()
        await until(self._everything_is_there, 90)
        self._release_complete()
        self.controller.dismiss()
        return await self.harness.end()

    def _everything_is_there(self) -> bool:
        assert self.harness.service is not None
        held = [run.offer() for run in self.harness.service._runs.values()]
        return all(
            offer.ended and self.controller.runs[offer.assignment.run_id].is_complete for offer in held
        )

    async def _signal(self) -> int:
        number = self.random.choice([signal.SIGINT, signal.SIGTERM])
        current_loop().raise_signal(number)
        code = await self.harness.end()
        assert code == 128 + number or self.harness.task.exception() is not None
        return code

    async def _deny(self) -> int:
        self.controller.denial = "go away"
        self.controller.break_stream()
        return await self.harness.end()

    async def _vanish(self) -> int:
        self.controller.reachable = False
        self.controller.break_stream()
        return await self.harness.end()

    # What must be true then

    def _check(self, code: int) -> None:
        assert code in (0, 1, 2, 130, 143)
        service = self.harness.service
        if service is None:
            return
        kept = {path.name: path for path in service.kept_files}
        files = {path.name: path for path in self.harness.folder.glob("*.records")}
        assert files.keys() == kept.keys(), "files that nobody knows of, or results without a file"
        for path in kept.values():
            records = list(read_records(path))
            assert records[0].HasField("assignment")
            assert records[1].HasField("ready")
            done = records[-1].done
            snapshots = [record.snapshot for record in records[2:-1]]
            assert [snapshot.sequence for snapshot in snapshots] == list(range(1, done.last_sequence + 1))
            assert sum(snapshot.sent for snapshot in snapshots) == done.sent
            if code:
                assert any(str(path) in line for line in self.harness.world.log), (
                    "the log does not name the file"
                )


@pytest.mark.parametrize("block", range(10))
def test_random_schedules(tmp_path: Path, block: int) -> None:
    for seed in range(block * SCHEDULES, (block + 1) * SCHEDULES):
        folder = tmp_path / str(seed)
        folder.mkdir()

        async def main(folder: Path = folder, seed: int = seed) -> None:
            await Schedule(folder, seed).play()

        try:
            run(main())
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


def test_the_lease_of_the_schedules_is_shorter_than_their_silences() -> None:
    assert LEASE_S < 5


@pytest.mark.parametrize("name", ["../../x", "a/b", "", "a\0b", "a" * 200])
def test_a_name_that_is_no_file_name_ends_the_agent(tmp_path: Path, name: str) -> None:
    async def scenario() -> None:
        harness = ProcessHarness(tmp_path)

        async def join(*_: object) -> tuple[str, Certificate]:
            return name, Certificate(b"", b"", b"")

        harness.controller.join = join  # type: ignore[assignment,method-assign]
        assert await harness.end() == ExitCode.CANNOT_START
        assert "gave this agent no name" in harness.world.log[-1]

    run(scenario())


@with_process
async def test_a_lease_without_sense_ends_the_process(harness: ProcessHarness) -> None:
    await harness.attached()
    harness.controller.send(ToAgent(welcome=Welcome(lease_ns=2**64 - 1)))
    assert await harness.end() == ExitCode.CANNOT_START
    assert "the controller grants a lease of" in harness.world.log[-1]


@with_process
async def test_a_log_that_can_not_be_written_changes_nothing(harness: ProcessHarness) -> None:
    await harness.attached()
    assert harness.service is not None

    def fail(line: str) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    harness.service._write_log = fail  # as with a stderr that is closed
    await harness.started("r1", duration_s=3600)
    harness.controller.reachable = False
    await until(lambda: harness.world.active is None, 3600)
    harness.controller.reachable = True
    await until(lambda: harness.controller.runs["r1"].done)
    harness.controller.dismiss()
    await harness.end()
