"""A fleet whose controller is launched with it, with real processes on this host in place of instances."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heyfleet.cli.fleet_controller import FutureController
from heyfleet.deploy.lifecycle.bring_up import FleetBringUp
from heyfleet.deploy.lifecycle.head_node import HeadNodeLauncher
from heyfleet.deploy.local import LocalProvider
from heyfleet.deploy.provider import HeadNode, HeadNodeRequest, LaunchSpec, Lines, Log
from heyfleet.errors import DeployError, InputError

from .processes import HEYFLEET, Process, adds_up


class ProviderWithHeadNode(LocalProvider):
    """Agents on this host, and a controller that has nothing but the files it is given."""

    def __init__(self, folder: Path) -> None:
        super().__init__({})
        self._folder = folder / "on-the-head-node"
        self._controller: Process | None = None

    def launch_head_node(self, request: HeadNodeRequest, log: Log) -> HeadNode:
        self._folder.mkdir(mode=0o700)
        for name, content in request.credentials.items():
            (self._folder / name).write_bytes(content)
            (self._folder / name).chmod(0o600)
        words = ("--listen", "127.0.0.1:0", "--credentials", str(self._folder))
        self._controller = Process("controller", *words)
        address = self._controller.wait_for(r"listening on (\S+)")[1]
        return HeadNode(id="the-head-node", internal_address=address, external_address=address)

    def stop(self, fleet: str, log: Log) -> Lines:
        lines = super().stop(fleet, log)
        if self._controller is not None:
            self._controller.kill()
        return lines


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProviderWithHeadNode]:
    monkeypatch.setenv("HEYFLEET_HOME", str(tmp_path / "home"))
    provider = ProviderWithHeadNode(tmp_path)
    yield provider
    provider.stop("demo", lambda line: None)


def bring_up_of(provider: ProviderWithHeadNode, folder: str, agents: int, log: Log) -> FleetBringUp:
    spec = LaunchSpec(fleet="demo", agents=agents, join="HOST:7700", lifetime_s=300)
    controller = FutureController(folder, spec.lifetime_s)
    head_node = HeadNodeLauncher(provider, controller, spec, 7700, log)
    return FleetBringUp(provider, controller, spec, min_agents=agents, log=log, head_node=head_node)


def test_up_and_a_run_with_the_credentials_that_were_created_for_it(
    provider: ProviderWithHeadNode, tmp_path: Path, start_faulty: Any
) -> None:
    folder, log = str(tmp_path / "credentials"), list[str]()
    assert bring_up_of(provider, folder, 2, log.append).run(60)
    assert log[-1].startswith("2 of 2 agents have joined")
    (line,) = [line for line in log if line.startswith("head node the-head-node is starting")]
    # The operator's key stays here: a reader of the head node's files can't start runs with it.
    assert not (tmp_path / "on-the-head-node" / "operator.pem").exists()
    address = line.split()[-1]
    flags = ["--controller", address, "--credentials", folder, "-n", "300", "-c", "6", "--json"]
    run = subprocess.run(
        [*HEYFLEET, "run", *flags, start_faulty().url("/ok")], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    adds_up(report)
    assert (report["ledger"]["responses"], len(report["fleet"]["agents"])) == (300, 2)
    again = bring_up_of(provider, folder, 1, log.append)
    with pytest.raises(DeployError, match="the fleet demo exists already"):
        again.run(60)
    assert not again.launched  # so that nobody removes what belongs to another


def test_a_head_node_that_can_t_be_reached_is_reported_with_its_port(
    provider: ProviderWithHeadNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = HeadNode(id="far", internal_address="127.0.0.1:9", external_address="127.0.0.1:9")
    monkeypatch.setattr(ProviderWithHeadNode, "launch_head_node", lambda *_: far)
    bring_up = bring_up_of(provider, str(tmp_path / "c"), 1, lambda line: None)
    with pytest.raises(DeployError, match="open port 7700 to this host and to the agents"):
        bring_up.run(1)
    assert bring_up.launched
    assert provider.list("demo") == []  # no agent is launched for a controller that does not answer


def test_credentials_are_created_once_and_include_all_tokens(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    first, second = FutureController(str(folder), 300), FutureController(str(folder), 300)
    assert first.credentials()["ca.key"] == second.credentials()["ca.key"]
    assert set(first.credentials()) == {"ca.pem", "ca.key", "tokens.json"}
    before = json.loads(first.credentials()["tokens.json"])
    first.issue_token(5, 60)
    assert len(json.loads(first.credentials()["tokens.json"])) == len(before) + 1
    (folder / "ca.key").unlink()
    with pytest.raises(InputError, match=r"has no ca\.key"):
        FutureController(str(folder), 300).issue_token(1, 60)
