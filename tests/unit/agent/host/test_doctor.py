"""The checks of a host, and settings that are changed and restored."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from heyfleet.agent.host import doctor, limits, sysctl


@pytest.fixture
def sysctls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sysctl files with values that differ from the targets."""
    root = tmp_path / "sys"
    for setting in sysctl.SETTINGS:
        path = root.joinpath(*setting.name.split("."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("32768\t60999\n" if setting.name == sysctl.PORTS else "7\n")
    monkeypatch.setattr(sysctl, "_ROOT", root)
    return root


def settings() -> dict[str, str | None]:
    return {setting.name: setting.read() for setting in sysctl.SETTINGS}


def test_tune_and_restore(sysctls: Path, tmp_path: Path) -> None:
    before, state = settings(), tmp_path / "state" / "tuned.json"
    lines = sysctl.tune(state)
    assert "net.ipv4.ip_local_port_range: 32768 60999 -> 1024 65535" in lines
    assert settings() == {setting.name: setting.target for setting in sysctl.SETTINGS}
    assert json.loads(state.read_text()) == before
    assert sysctl.tune(state) == []
    assert len(sysctl.restore(state)) == len(lines)
    assert settings() == before
    assert not state.exists()
    assert sysctl.restore(state) == []


def test_restore_goes_back_before_the_first_of_two_tunings(sysctls: Path, tmp_path: Path) -> None:
    before, state = settings(), tmp_path / "tuned.json"
    sysctl.tune(state)
    sysctl.SETTINGS[1].path.write_text("3")  # somebody else's change meanwhile
    sysctl.tune(state)
    sysctl.restore(state)
    assert settings() == before


def test_settings_that_the_kernel_lacks_are_skipped(sysctls: Path, tmp_path: Path) -> None:
    sysctl.SETTINGS[1].path.unlink()
    assert all(sysctl.SETTINGS[1].name not in line for line in sysctl.tune(tmp_path / "tuned.json"))
    assert all(check.name != sysctl.SETTINGS[1].name for check in doctor.examine()[0])


def test_a_setting_that_cannot_be_set_is_an_error(sysctls: Path, tmp_path: Path) -> None:
    path = sysctl.SETTINGS[0].path
    path.unlink()
    path.mkdir()
    state = tmp_path / "tuned.json"
    state.write_text(json.dumps({sysctl.PORTS: "1 2"}))
    with pytest.raises(sysctl.TuningError, match="only root may set it"):
        sysctl.restore(state)
    assert state.exists()  # so that it can be tried again


def test_a_broken_state_file_is_an_error(sysctls: Path, tmp_path: Path) -> None:
    state = tmp_path / "tuned.json"
    state.write_text("{")
    with pytest.raises(sysctl.TuningError, match="not JSON"):
        sysctl.restore(state)
    with pytest.raises(sysctl.TuningError, match="nothing was changed"):
        sysctl.tune(Path("/proc/no/such/folder/tuned.json"))


def test_capacity(sysctls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "port_range", lambda: (32768, 60999))
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 4096))
    checks, capacity = doctor.examine()
    by_name = {check.name: check for check in checks}
    assert by_name["open files"].state == doctor.WARN
    assert "LimitNOFILE" in by_name["open files"].cure
    assert "28,232 connections" in by_name["local ports"].effect
    assert capacity.connections == capacity.to_one_address == 3996
    assert capacity.limited_by == "open files per process"
    text = "\n".join(doctor.lines())
    assert "about 3,996 connections" in text
    for check in checks:
        assert check.name in text


def test_a_host_without_any_io_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor, "backends", lambda: [("io_uring", False, "ENOSYS"), ("epoll", False, "EPERM")]
    )
    states = {check.name: check.state for check in doctor.examine()[0]}
    assert states["io_uring"] == doctor.WARN
    assert states["epoll"] == doctor.BAD
