"""What a host is told of itself, and settings that are set and put back."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from heyfleet.agent.host import doctor, limits
from heyfleet.agent.host import sysctl as tuning


@pytest.fixture
def sysctls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel's settings that are not as wanted."""
    root = tmp_path / "sys"
    for setting in tuning.SETTINGS:
        path = root.joinpath(*setting.name.split("."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("32768\t60999\n" if setting.name == tuning.PORTS else "7\n")
    monkeypatch.setattr(tuning, "_ROOT", root)
    return root


def settings() -> dict[str, str | None]:
    return {setting.name: setting.read() for setting in tuning.SETTINGS}


def test_tuned_and_put_back(sysctls: Path, tmp_path: Path) -> None:
    before, state = settings(), tmp_path / "state" / "tuned.json"
    told = tuning.tune(state)
    assert "net.ipv4.ip_local_port_range: 32768 60999 -> 1024 65535" in told
    assert settings() == {setting.name: setting.target for setting in tuning.SETTINGS}
    assert json.loads(state.read_text()) == before
    assert tuning.tune(state) == []
    assert len(tuning.restore(state)) == len(told)
    assert settings() == before
    assert not state.exists()
    assert tuning.restore(state) == []


def test_what_was_there_first_is_kept_over_two_tunings(sysctls: Path, tmp_path: Path) -> None:
    before, state = settings(), tmp_path / "tuned.json"
    tuning.tune(state)
    tuning.SETTINGS[1].path.write_text("3")  # somebody else's change meanwhile
    tuning.tune(state)
    tuning.restore(state)
    assert settings() == before


def test_what_this_kernel_has_not_is_left_out(sysctls: Path, tmp_path: Path) -> None:
    tuning.SETTINGS[1].path.unlink()
    assert all(tuning.SETTINGS[1].name not in line for line in tuning.tune(tmp_path / "tuned.json"))
    assert all(check.name != tuning.SETTINGS[1].name for check in doctor.examine()[0])


def test_a_setting_that_can_not_be_set(sysctls: Path, tmp_path: Path) -> None:
    path = tuning.SETTINGS[0].path
    path.unlink()
    path.mkdir()
    state = tmp_path / "tuned.json"
    state.write_text(json.dumps({tuning.PORTS: "1 2"}))
    with pytest.raises(tuning.TuningError, match="only root may set it"):
        tuning.restore(state)
    assert state.exists()  # so that it can be tried again


def test_a_state_file_that_is_broken(sysctls: Path, tmp_path: Path) -> None:
    state = tmp_path / "tuned.json"
    state.write_text("{")
    with pytest.raises(tuning.TuningError, match="can't be read"):
        tuning.restore(state)
    with pytest.raises(tuning.TuningError, match="nothing was changed"):
        tuning.tune(Path("/proc/no/such/folder/tuned.json"))


def test_what_a_host_can_carry(sysctls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "port_range", lambda: (32768, 60999))
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 4096))
    checks, capacity = doctor.examine()
    found = {check.name: check for check in checks}
    assert found["open files"].state == doctor.WARN
    assert "LimitNOFILE" in found["open files"].cure
    assert "28,232 connections" in found["local ports"].effect
    assert capacity.connections == capacity.to_one_address == 3996
    assert capacity.limited_by == "open files per process"
    text = "\n".join(doctor.lines())
    assert "about 3,996 connections" in text
    for check in checks:
        assert check.name in text


def test_a_host_that_can_make_no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor, "backends", lambda: [("io_uring", False, "ENOSYS"), ("epoll", False, "EPERM")]
    )
    states = {check.name: check.state for check in doctor.examine()[0]}
    assert states["io_uring"] == doctor.WARN
    assert states["epoll"] == doctor.BAD
