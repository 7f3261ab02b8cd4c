"""Join tokens: a number of uses, a time limit, and no secret on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from heyfleet.agent import credentials as identity
from heyfleet.controller.security import folder as folders
from heyfleet.controller.security.authority import Authority
from heyfleet.controller.security.tokens import TokenError, Tokens


def secret_of(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("secret: ")).removeprefix("secret: ")


def test_a_token_has_a_number_of_uses() -> None:
    tokens = Tokens()
    token_id, text = tokens.issue(Authority.create(), uses=2)
    for _ in range(2):
        tokens.redeem(token_id, secret_of(text))
    with pytest.raises(TokenError, match="for 2 agents and has no uses left"):
        tokens.redeem(token_id, secret_of(text))


def test_a_token_expires() -> None:
    now_s = [1_700_000_000.0]
    tokens = Tokens(now_s=lambda: now_s[0])
    token_id, text = tokens.issue(Authority.create(), valid_s=60)
    now_s[0] += 61
    with pytest.raises(TokenError, match="expired at 2023-11-14"):
        tokens.redeem(token_id, secret_of(text))


def test_a_wrong_secret_costs_no_use() -> None:
    tokens = Tokens()
    token_id, text = tokens.issue(Authority.create())
    for wrong in ("", "x", secret_of(text)[:-1]):
        with pytest.raises(TokenError, match="secret of the token is wrong"):
            tokens.redeem(token_id, wrong)
    with pytest.raises(TokenError, match="not known here"):
        tokens.redeem("00000000", secret_of(text))
    tokens.redeem(token_id, secret_of(text))


def test_a_token_file_can_be_read_by_an_agent(tmp_path: Path) -> None:
    authority = Authority.create()
    token_id, text = Tokens().issue(authority)
    path = tmp_path / "join.token"
    path.write_text(text)
    path.chmod(0o600)
    token = identity.read_token(str(path))
    assert (token.token_id, token.secret) == (token_id, secret_of(text))
    identity.check(token, authority.ca_pem)
    with pytest.raises(identity.CredentialsError, match="do not belong together"):
        identity.check(token, Authority.create().ca_pem)


def test_a_folder_is_shared_by_processes(tmp_path: Path) -> None:
    path = str(tmp_path / "fleet")
    folders.init(path)
    controller, command = folders.Credentials.load(path), folders.Credentials.load(path)
    token_id, text = command.tokens.issue(command.authority, uses=1)
    controller.tokens.redeem(token_id, secret_of(text))
    with pytest.raises(TokenError, match="has no uses left"):
        command.tokens.redeem(token_id, secret_of(text))
    assert secret_of(text) not in (tmp_path / "fleet" / "tokens.json").read_text()


def test_a_folder_is_private(tmp_path: Path) -> None:
    path = tmp_path / "fleet"
    folders.init(str(path))
    assert path.stat().st_mode & 0o777 == 0o700
    assert {each.name: each.stat().st_mode & 0o777 for each in path.iterdir()} == dict.fromkeys(
        ("ca.pem", "ca.key", "operator.pem", "tokens.json"), 0o600
    )
    with pytest.raises(folders.CredentialsError, match="already has a CA"):
        folders.init(str(path))
    (path / "ca.key").chmod(0o640)
    with pytest.raises(folders.CredentialsError, match=r"chmod 600 .*ca\.key"):
        folders.Credentials.load(str(path))


def test_unusable_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(folders.CredentialsError, match="heyfleet ca init"):
        folders.Credentials.load(str(tmp_path / "none"))
    path = tmp_path / "fleet"
    folders.init(str(path))
    ca, key, certificate = folders.load_operator(str(path))
    assert b"CERTIFICATE" in ca
    assert b"PRIVATE KEY" in key
    assert b"CERTIFICATE" in certificate
    (path / "operator.pem").write_bytes(certificate)
    with pytest.raises(folders.CredentialsError, match="not a certificate with its key"):
        folders.load_operator(str(path))
    (path / "ca.key").write_bytes(Authority.create().key_pem)
    with pytest.raises(folders.CredentialsError, match="can't be used"):
        folders.Credentials.load(str(path))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}x",
        b"null",
        b"[1]",
        b'[{"token_id": "a"}]',
        b"[" * 5000,
        json.dumps(
            [{"token_id": "a", "secret_sha256": "b", "uses": "1", "uses_left": 1, "expires_s": 1.0}]
        ).encode(),
    ],
)
def test_damaged_tokens_are_reported_with_their_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fleet"
    folders.init(str(path))
    (path / "tokens.json").write_bytes(content)
    with pytest.raises(folders.CredentialsError, match=r"tokens\.json is damaged: .*; remove it"):
        folders.Credentials.load(str(path)).tokens.entries()


def test_credentials_are_regular_files(tmp_path: Path) -> None:
    path = tmp_path / "fleet"
    folders.init(str(path))
    (path / "ca.pem").unlink()
    (path / "ca.pem").symlink_to("/dev/zero")
    with pytest.raises(folders.CredentialsError, match=r"can't read '.*ca\.pem': it is a device"):
        folders.Credentials.load(str(path))


@pytest.mark.parametrize(
    ("read", "flag"), [(identity.read_token, "--token-file"), (identity.read_ca, "--ca")]
)
def test_a_device_holds_no_credentials(read: Callable[[str], object], flag: str) -> None:
    with pytest.raises(identity.CredentialsError, match=f"{flag}: can't read '/dev/zero': it is a device"):
        read("/dev/zero")
