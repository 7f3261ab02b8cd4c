"""A fleet whose controller is started with it: real processes here, in the place of instances."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from heyfleet.deploy.lifecycle.head_node import HeadController, HeadNodeBringUp
from heyfleet.deploy.local import LocalProvider
from heyfleet.deploy.provider import DeployError, HeadNode, LaunchRequest, Lines, Say
from heyfleet.errors import InputError

from .processes import HEYFLEET, Process, adds_up


class EngineWithHead(LocalProvider):
    """Agents on this host, and a controller that has nothing but the files it is given."""

    def __init__(self, folder: Path, command: str = "controller") -> None:
        super().__init__({})
        self._folder = folder / "of-the-head"
        self._command = command
        self._controller: Process | None = None

    def head(self, order: LaunchRequest, files: Mapping[str, bytes], port: int, say: Say) -> HeadNode:
        self._folder.mkdir(mode=0o700)
        for name, content in files.items():
            (self._folder / name).write_bytes(content)
            (self._folder / name).chmod(0o600)
        words = ("--listen", "127.0.0.1:0", "--credentials", str(self._folder))
        self._controller = Process(self._command, *words)
        where = self._controller.wait_for(r"listening on (\S+)")[1]
        return HeadNode(id="the-head", inside=where, outside=where)

    def stop(self, fleet: str, say: Say) -> Lines:
        lines = super().stop(fleet, say)
        if self._controller is not None:
            self._controller.kill()
        return lines


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineWithHead]:
    monkeypatch.setenv("HEYFLEET_HOME", str(tmp_path / "home"))
    made = EngineWithHead(tmp_path)
    yield made
    made.stop("demo", lambda text: None)


def order(agents: int) -> LaunchRequest:
    return LaunchRequest(fleet="demo", agents=agents, join="HOST:7700", ca_pem=b"", token=b"", lifetime_s=300)


def test_up_and_a_run_with_the_credentials_that_were_made_for_it(
    engine: EngineWithHead, tmp_path: Path, start_faulty: Any
) -> None:
    folder, said = str(tmp_path / "credentials"), list[str]()
    raising = HeadNodeBringUp(engine, folder, order(2), 2, said.append, wait_s=60)
    assert raising.raise_all(60)
    assert any(line.startswith("2 of 2 agents have joined") for line in said)
    assert said[-1].startswith("next: heyfleet run --controller 127.0.0.1:")
    assert not (
        tmp_path / "of-the-head" / "operator.pem"
    ).exists()  # whoever reads the head's files can't run by that
    where = said[-1].split()[4]
    url = start_faulty().url("/ok")
    run = subprocess.run(
        [
            *HEYFLEET,
            "run",
            "--controller",
            where,
            "--credentials",
            folder,
            "-n",
            "300",
            "-c",
            "6",
            "--json",
            url,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    adds_up(report)
    assert (report["ledger"]["responses"], len(report["fleet"]["agents"])) == (300, 2)
    again = HeadNodeBringUp(engine, folder, order(1), 1, said.append, wait_s=60)
    with pytest.raises(DeployError, match="the fleet demo is there already"):
        again.raise_all(60)
    assert not again.launched  # so that nobody removes what is another's


def test_a_head_that_nobody_reaches_is_said_with_the_port(
    engine: EngineWithHead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        EngineWithHead, "head", lambda *_: HeadNode(id="far", inside="127.0.0.1:9", outside="127.0.0.1:9")
    )
    raising = HeadNodeBringUp(engine, str(tmp_path / "c"), order(1), 1, lambda text: None, wait_s=1)
    with pytest.raises(DeployError, match="is its port 7700 open to you and to the agents"):
        raising.raise_all(1)
    assert raising.launched
    assert engine.list("demo") == []  # agents would have had nobody to join


def test_credentials_end_with_the_fleet_and_are_used_again_until_then(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    first = HeadController(str(folder), order(1), 60)
    second = HeadController(str(folder), order(1), 60)
    assert first.files["ca.key"] == second.files["ca.key"]
    assert set(first.files) == {"ca.pem", "ca.key", "tokens.json"}
    assert first.token(5, 60) == first.token(5, 60)
    (folder / "ca.key").unlink()
    with pytest.raises(InputError, match=r"there is no ca\.key"):
        HeadController(str(folder), order(1), 60)
