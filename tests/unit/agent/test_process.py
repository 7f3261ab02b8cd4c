"""The agent process in virtual time: its situations one by one, and thousands of random schedules of whole lives."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from heyfleet.agent.credentials import Token
from heyfleet.agent.errors import DeniedError, UnreachableError
from heyfleet.agent.lifecycle import AgentProcess, Options
from heyfleet.agent.service import AgentService
from heyfleet.agent.spool import read_records
from heyfleet.errors import ExitCode, HeyfleetError

from ...virtual_time import current_loop, run
from .fake_controller import LEASE_S, FakeController, World, until

TOKEN = Token("id", "secret", b"", b"")
SCHEDULES = 200  # in a block; there are ten blocks


class Life:
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
            self.world.log.append,
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
            return await self.task
        except HeyfleetError as error:
            self.world.log.append(str(error))
            return error.exit_code
        finally:
            assert self.world.active is None, "the process ended and its load did not"
            if self.watchdog.done():
                self.watchdog.result()
            self.watchdog.cancel()


def in_life(scenario: Callable[[Life], Awaitable[None]]) -> Callable[[Path], None]:
    """Make a test of a scenario in one agent's life."""

    def test(tmp_path: Path) -> None:
        async def lived() -> None:
            await scenario(Life(tmp_path))

        run(lived())

    test.__doc__ = scenario.__doc__
    return test


@in_life
async def test_a_dismissed_agent_ends_with_0(life: Life) -> None:
    await life.attached()
    life.controller.dismiss()
    assert await life.end() == ExitCode.OK
    assert life.controller.said_bye == "dismissed"
    assert life.world.log == ["joined boss:7700 as a1-1", "dismissed: the run is over"]


@in_life
async def test_a_dismissal_during_a_load_ends_it_and_names_the_results(life: Life) -> None:
    await life.started("r1", duration_s=3600)
    life.controller.dismiss()
    assert await life.end() == ExitCode.OK
    path = life.folder / "r1.a1-1.records"
    assert life.world.log[-1] == f"dismissed: the run is over; results are kept in {path}"
    assert [record.WhichOneof("record") for record in read_records(path)][-1] == "done"


def test_an_agent_of_this_host_needs_no_token(tmp_path: Path) -> None:
    async def scenario() -> None:
        life = Life(tmp_path, local=True)
        await life.attached()
        assert life.service is not None
        assert life.service.agent == "a1"
        assert life.controller.joins == 0
        life.controller.dismiss()
        assert await life.end() == ExitCode.OK

    run(scenario())


@in_life
async def test_an_agent_that_starts_first_waits_for_its_controller(life: Life) -> None:
    life.controller.reachable = False
    await asyncio.sleep(20)
    line = "the controller at boss:7700 can't be reached (Connection refused); trying for 30s"
    assert life.world.log == [line]
    # 50 ms at first, then twice as long each time, up to 2 s.
    assert life.controller.joins == 15
    life.controller.reachable = True
    await life.attached()
    life.controller.dismiss()
    assert await life.end() == ExitCode.OK


@in_life
async def test_an_agent_gives_up_after_the_rejoin_timeout(life: Life) -> None:
    life.controller.reachable = False
    with pytest.raises(UnreachableError, match=r"gave up: .* was not reached for 30s \(Connection refused\)"):
        await life.task
    assert 30 <= current_loop().time() < 33
    life.watchdog.cancel()


@in_life
async def test_the_rejoin_timeout_begins_when_the_controller_was_last_heard(life: Life) -> None:
    await life.attached()
    await asyncio.sleep(100)
    life.controller.reachable = False
    life.controller.break_stream()
    begin_s = current_loop().time()
    assert await life.end() == ExitCode.FAULT
    assert 30 <= current_loop().time() - begin_s < 33


@in_life
async def test_results_outlive_an_agent_that_gives_up(life: Life) -> None:
    await life.started("r1", duration_s=3600)
    life.controller.reachable = False
    life.controller.break_stream()
    assert await life.end() == ExitCode.FAULT
    path = life.folder / "r1.a1-1.records"
    assert life.world.log[-1].endswith(f"; results are kept in {path}")
    last = list(read_records(path))[-1]
    assert last.done.stopped_by == "lease"


@in_life
async def test_a_join_that_is_denied_is_not_tried_again(life: Life) -> None:
    life.controller.denial = "the secret of its token is wrong"
    with pytest.raises(DeniedError, match="secret"):
        await life.task
    assert life.controller.joins == 1
    life.watchdog.cancel()


@in_life
async def test_a_denied_agent_does_not_go_on_with_its_load(life: Life) -> None:
    await life.started("r1", duration_s=3600)
    life.controller.denial = "no agent of this controller"
    life.controller.break_stream()
    assert await life.end() == ExitCode.CANNOT_START
    assert life.world.log[-1].startswith("no agent of this controller; results are kept in ")


@in_life
async def test_a_signal_delivers_the_results_first(life: Life) -> None:
    await life.started("r1", duration_s=3600)
    current_loop().raise_signal(signal.SIGTERM)
    await until(lambda: life.controller.runs["r1"].is_complete)
    life.controller.release("r1")
    assert await life.end() == ExitCode.TERMINATED
    assert life.controller.said_bye == "ended by SIGTERM"
    assert life.exits == []


@in_life
async def test_a_signal_before_the_controller_is_reached_ends_at_once(life: Life) -> None:
    life.controller.reachable = False
    await asyncio.sleep(10)
    begin_s = current_loop().time()
    current_loop().raise_signal(signal.SIGINT)
    assert await life.end() == ExitCode.INTERRUPTED
    assert current_loop().time() - begin_s < 0.1


@in_life
async def test_a_signal_without_a_controller_names_the_results(life: Life) -> None:
    await life.started("r1", duration_s=3600)
    life.controller.reachable = False
    life.controller.break_stream()
    await asyncio.sleep(1)
    current_loop().raise_signal(signal.SIGINT)
    assert await life.end() == ExitCode.INTERRUPTED
    assert life.world.log[-1] == f"results are kept in {life.folder / 'r1.a1-1.records'}"


@in_life
async def test_a_denial_during_a_drain_does_not_cut_it_short(life: Life) -> None:
    await life.started("r1", duration_s=3600)
    current_loop().raise_signal(signal.SIGINT)
    life.controller.denial = "no agent of this controller"
    life.controller.break_stream()
    assert await life.end() == ExitCode.INTERRUPTED
    assert [record.WhichOneof("record") for record in read_records(life.folder / "r1.a1-1.records")][
        -1
    ] == "done"


@in_life
async def test_a_second_signal_ends_at_once(life: Life) -> None:
    await life.started("r1", duration_s=3600)
    current_loop().raise_signal(signal.SIGINT)
    assert life.exits == []
    current_loop().raise_signal(signal.SIGTERM)
    assert life.exits == [ExitCode.TERMINATED]
    assert await life.end() == ExitCode.INTERRUPTED


class Schedule:
    """A life in which anything happens at any time, and after which everything must be accounted for."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = Random(seed)
        self.life = Life(folder, seed, local=seed % 4 == 0, faulty=True)
        self.controller = self.life.controller
        self.run_ids: list[str] = []
        self.released: set[str] = set()
        self.pinging = True
        self._pings = asyncio.ensure_future(self._ping())

    async def go(self) -> None:
        """Live, and end in one of several ways."""
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
        if self.life.task.done():  # it gave up
            return await self.life.end()
        begin = self.controller.streams
        self.controller.break_stream()
        await until(lambda: self.controller.streams > begin or self.life.task.done())
        await self.life.attached()
        await until(self._everything_is_there, 90)
        self._release_complete()
        self.controller.dismiss()
        return await self.life.end()

    def _everything_is_there(self) -> bool:
        assert self.life.service is not None
        held = [run.offer() for run in self.life.service._runs.values()]
        return all(
            offer.ended and self.controller.runs[offer.assignment.run_id].is_complete for offer in held
        )

    async def _signal(self) -> int:
        number = self.random.choice([signal.SIGINT, signal.SIGTERM])
        current_loop().raise_signal(number)
        code = await self.life.end()
        assert code == 128 + number or self.life.task.exception() is not None
        return code

    async def _deny(self) -> int:
        self.controller.denial = "go away"
        self.controller.break_stream()
        return await self.life.end()

    async def _vanish(self) -> int:
        self.controller.reachable = False
        self.controller.break_stream()
        return await self.life.end()

    # What must be true then

    def _check(self, code: int) -> None:
        assert code in (0, 1, 2, 130, 143)
        service = self.life.service
        if service is None:
            return
        kept = {path.name: path for path in service.kept_files}
        files = {path.name: path for path in self.life.folder.glob("*.records")}
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
                assert any(str(path) in line for line in self.life.world.log), "the owner was not told"


@pytest.mark.parametrize("block", range(10))
def test_random_schedules(tmp_path: Path, block: int) -> None:
    for seed in range(block * SCHEDULES, (block + 1) * SCHEDULES):
        folder = tmp_path / str(seed)
        folder.mkdir()

        async def life(folder: Path = folder, seed: int = seed) -> None:
            await Schedule(folder, seed).go()

        try:
            run(life())
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


def test_the_lease_of_the_schedules_is_shorter_than_their_silences() -> None:
    assert LEASE_S < 5
