"""A folder of credentials: the CA, an operator's certificate, the tokens that were issued."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import secrets
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from heyfleet.controller.security.authority import CA_VALID, Authority
from heyfleet.controller.security.tokens import Entry, Tokens
from heyfleet.proto.protocol import ROLE_OPERATOR

CA, CA_KEY, OPERATOR, TOKENS, JOIN = "ca.pem", "ca.key", "operator.pem", "tokens.json", "join.token"
_END = b"-----END CERTIFICATE-----\n"


class CredentialsError(Exception):
    """A folder that does not serve: one line that names it and the cure."""


class Credentials:
    """What a controller needs to know its agents and operators."""

    def __init__(self, authority: Authority, tokens: Tokens) -> None:
        self.authority = authority
        self.tokens = tokens

    @classmethod
    def in_memory(cls) -> Credentials:
        """New ones, for one run, with nothing on disk."""
        return cls(Authority.create(timedelta(days=7)), Tokens())

    @classmethod
    def load(cls, path: str) -> Credentials:
        """Those of a folder. CredentialsError."""
        folder = Path(path)
        authority = _authority(folder)
        return cls(authority, Tokens(_FileStore(folder / TOKENS)))

    def write_join_files(self, folder: Path, uses: int, valid_s: float) -> None:
        """Write ca.pem and join.token, for agents."""
        _, token = self.tokens.issue(self.authority, uses, valid_s)
        make_folder(folder)
        write_private(folder / CA, self.authority.ca_pem)
        write_private(folder / JOIN, token.encode())


def init(path: str, valid: timedelta = CA_VALID) -> None:
    """Make a folder with a new CA and an operator's certificate. CredentialsError if there is one already."""
    folder = Path(path)
    if (folder / CA).exists() or (folder / CA_KEY).exists():
        raise CredentialsError(f"{path!r} has a CA already; name another folder, or remove that one first")
    authority = Authority.create(valid)
    key, certificate = authority.client(ROLE_OPERATOR, "operator", valid)
    try:
        make_folder(folder)
        write_private(folder / CA, authority.ca_pem)
        write_private(folder / OPERATOR, certificate + key)
        write_private(folder / TOKENS, b"[]\n")
        write_private(folder / CA_KEY, authority.key_pem)
    except OSError as error:
        raise CredentialsError(f"can't write to {path!r}: {error.strerror}") from None


def load_operator(path: str) -> tuple[bytes, bytes, bytes]:
    """CA, key and certificate of an operator. CredentialsError."""
    folder = Path(path)
    certificate, end, key = _read(folder, OPERATOR).partition(_END)
    if not end or b"PRIVATE KEY" not in key:
        raise CredentialsError(f"{folder / OPERATOR} is not a certificate and its key; copy it again")
    return _read(folder, CA, private=False), key, certificate + end


def _authority(folder: Path) -> Authority:
    try:
        authority = Authority.from_pem(_read(folder, CA, private=False), _read(folder, CA_KEY))
    except ValueError as error:
        raise CredentialsError(f"{folder}: {CA} and {CA_KEY} can't be used: {error}") from None
    if authority.expires < datetime.datetime.now(datetime.UTC):
        raise CredentialsError(
            f"the CA in {folder} expired at {authority.expires:%Y-%m-%d}; make a new one with `heyfleet ca init`"
        )
    return authority


def _read(folder: Path, name: str, *, private: bool = True) -> bytes:
    path = folder / name
    try:
        data = path.read_bytes()
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        raise CredentialsError(
            f"there is no {name} in {str(folder)!r}; `heyfleet ca init {folder}` makes one"
        ) from None
    except OSError as error:
        raise CredentialsError(f"can't read {path}: {error.strerror}") from None
    if private and mode & 0o077:
        raise CredentialsError(f"others than you may read {path}: chmod 600 {path}")
    return data


def make_folder(folder: Path) -> None:
    """A folder for this user only."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_private(path: Path, data: bytes) -> None:
    """Write a file for this user only, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(fresh, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(data)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


class _FileStore:
    """Entries in a file that several processes change."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def change(self, work: Callable[[dict[str, Entry]], None]) -> None:
        """See tokens.Store."""
        with open(self._path.with_name(f".{self._path.name}.lock"), "a", opener=_private) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            rows = []
            with contextlib.suppress(FileNotFoundError):
                rows = json.loads(self._path.read_text())
            entries = {row["token_id"]: Entry(**row) for row in rows}
            work(entries)
            after = [dataclasses.asdict(entry) for entry in entries.values()]
            if after != rows:
                write_private(self._path, (json.dumps(after, indent=1) + "\n").encode())


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
