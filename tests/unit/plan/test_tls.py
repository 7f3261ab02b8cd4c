"""TLS options of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from heyfleet.errors import InputError
from heyfleet.plan.build import make_plan
from heyfleet.plan.options import RunOptions
from heyfleet.plan.redact import echo
from heyfleet.proto.plan_pb2 import Plan

from ...certificates import Authority

AUTHORITY = Authority()


def plan(url: str = "https://name.test/", **flags: Any) -> Plan:
    return make_plan(RunOptions(url=url, user_agent="test", **flags))


def test_the_default_port_and_name() -> None:
    made = plan()
    assert (made.target.port, made.tls.name, made.tls.insecure) == (443, "name.test", False)
    assert made.requests[0].headers[0].value == "name.test"
    assert plan("https://name.test:8443/").requests[0].headers[0].value == "name.test:8443"
    assert plan("https://name.test:80/").requests[0].headers[0].value == "name.test:80"


@pytest.mark.parametrize(
    ("host", "name"), [("other.test", "other.test"), ("other.test:8443", "other.test"), ("[::1]:443", "::1")]
)
def test_the_server_name_comes_from_the_host_header(host: str, name: str) -> None:
    """This is what hey does."""
    assert plan(host=host).tls.name == name


def test_plain_targets_get_tls_options_only_by_a_flag() -> None:
    """A redirect may lead to a target with TLS, so a flag still counts."""
    made = plan("http://name.test/")
    assert not made.HasField("tls")
    assert echo(made)["tls"] is None
    assert plan("http://name.test/", insecure=True).tls.insecure


def test_files_are_part_of_the_plan_but_not_of_reports(tmp_path: Path) -> None:
    pair = AUTHORITY.sign("a client")
    certificate, key = pair.write(tmp_path, "client")
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    made = plan(authorities=str(tmp_path / "ca.pem"), certificate=certificate, key=key, no_resume=True)
    assert made.tls.ca_pem == AUTHORITY.pem
    assert (made.tls.certificate_pem, made.tls.key_pem) == (pair.certificate, pair.key)
    shown = echo(made)["tls"]
    assert shown == {
        "name": "name.test",
        "verified": True,
        "authorities": "given",
        "client_certificate": True,
        "resume": False,
        "version": None,
    }


def test_one_file_with_certificate_and_key(tmp_path: Path) -> None:
    pair = AUTHORITY.sign("a client")
    both = tmp_path / "both.pem"
    both.write_bytes(pair.certificate + pair.key)
    assert plan(certificate=str(both)).tls.key_pem == both.read_bytes()


@pytest.mark.parametrize("flag", ["authorities", "certificate"])
def test_unreadable_files(flag: str, tmp_path: Path) -> None:
    names = {"authorities": "--cacert", "certificate": "--cert"}
    with pytest.raises(InputError, match=rf"{names[flag]}: can't read .*No such file"):
        plan(**{flag: str(tmp_path / "none.pem")})
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(InputError, match=rf"{names[flag]}: .*bad\.pem.*PEM"):
        plan(**{flag: str(tmp_path / "bad.pem")})


def test_a_key_of_another_certificate(tmp_path: Path) -> None:
    certificate, _ = AUTHORITY.sign("a client").write(tmp_path, "one")
    _, other = AUTHORITY.sign("another").write(tmp_path, "two")
    with pytest.raises(InputError, match=r"--cert: .*can't be used together \(key values mismatch\)"):
        plan(certificate=certificate, key=other)
    with pytest.raises(InputError, match="--key needs --cert"):
        plan(key=other)


def test_a_key_with_a_password(tmp_path: Path) -> None:
    certificate, key = AUTHORITY.sign("a client", password=b"secret").write(tmp_path, "one")
    with pytest.raises(InputError, match=r"--key: .*needs a password"):
        plan(certificate=certificate, key=key)


def test_kernel_timestamps_exclude_tls() -> None:
    with pytest.raises(InputError, match="--kernel-timestamps works on plain connections only"):
        plan(kernel_timestamps=True)
