"""A credentials folder: the CA, the operator's certificate and the tokens that were issued."""

from __future__ import annotations

import dataclasses
import datetime
import fcntl
import json
import secrets
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from heyfleet.controller.security.authority import CA_VALID, Authority
from heyfleet.controller.security.tokens import Entry, Tokens
from heyfleet.documents import parse_json
from heyfleet.errors import InputError
from heyfleet.files import MAX_TEXT_BYTES, read_file
from heyfleet.private_files import make_folder, open_file
from heyfleet.proto.protocol import ROLE_OPERATOR

CA, CA_KEY, OPERATOR, TOKENS, JOIN = "ca.pem", "ca.key", "operator.pem", "tokens.json", "join.token"
_IN_MEMORY_VALID = timedelta(days=7)
_CERTIFICATE_END = b"-----END CERTIFICATE-----\n"


class CredentialsError(InputError):
    """A credentials folder that can't be used."""


class Credentials:
    """What a controller needs to authenticate its agents and operators."""

    def __init__(self, authority: Authority, tokens: Tokens) -> None:
        self.authority = authority
        self.tokens = tokens

    @classmethod
    def in_memory(cls) -> Credentials:
        """Make credentials for one run, without a trace on disk."""
        return cls(Authority.create(_IN_MEMORY_VALID), Tokens())

    @classmethod
    def load(cls, path: str) -> Credentials:
        """Load the credentials in a folder. Raises CredentialsError."""
        folder = Path(path)
        authority = _load_authority(folder)
        return cls(authority, Tokens(_FileStore(folder / TOKENS)))

    def write_join_files(self, folder: Path, uses: int, valid_s: float) -> None:
        """Write ca.pem and a new join.token for agents."""
        _, token = self.tokens.issue(self.authority, uses, valid_s)
        make_folder(folder, exist_ok=True)
        write_private(folder / CA, self.authority.ca_pem)
        write_private(folder / JOIN, token.encode())


def init(path: str, valid: timedelta = CA_VALID) -> None:
    """Make a folder with a new CA and an operator's certificate. Raises CredentialsError, also if there is a CA."""
    folder = Path(path)
    if (folder / CA).exists() or (folder / CA_KEY).exists():
        raise CredentialsError(f"{path!r} already has a CA", "name another folder, or remove this one first")
    authority = Authority.create(valid)
    key, certificate = authority.client(ROLE_OPERATOR, "operator", valid)
    try:
        make_folder(folder, exist_ok=True)
        write_private(folder / CA, authority.ca_pem)
        write_private(folder / OPERATOR, certificate + key)
        write_private(folder / TOKENS, b"[]\n")
        write_private(folder / CA_KEY, authority.key_pem)
    except OSError as error:
        raise CredentialsError(f"can't write to {path!r}: {error.strerror}") from None


def load_operator(path: str) -> tuple[bytes, bytes, bytes]:
    """Return the CA, and the operator's key and certificate, in PEM. Raises CredentialsError."""
    folder = Path(path)
    certificate, end, key = read_credential(folder, OPERATOR).partition(_CERTIFICATE_END)
    if not end or b"PRIVATE KEY" not in key:
        raise CredentialsError(
            f"{folder / OPERATOR} is not a certificate with its key", "copy the file again"
        )
    return read_credential(folder, CA), key, certificate + end


def _load_authority(folder: Path) -> Authority:
    try:
        authority = Authority.from_pem(read_credential(folder, CA), read_credential(folder, CA_KEY))
    except ValueError as error:
        raise CredentialsError(f"{folder}: {CA} and {CA_KEY} can't be used: {error}") from None
    if authority.expires < datetime.datetime.now(datetime.UTC):
        raise CredentialsError(
            f"the CA in {folder} expired at {authority.expires:%Y-%m-%d}",
            "`heyfleet ca init` makes a new one",
        )
    return authority


def read_credential(folder: Path, name: str) -> bytes:
    """Return a file of the folder. Raises CredentialsError, also if other users may read what must be private."""
    path = folder / name
    if not path.exists():
        raise CredentialsError(f"{str(folder)!r} has no {name}", f"`heyfleet ca init {folder}` makes it")
    data = read_file(path, "credentials", MAX_TEXT_BYTES, pipes=False, error=CredentialsError)
    if name != CA and path.stat().st_mode & 0o077:
        raise CredentialsError(f"other users may read {path}", f"run `chmod 600 {path}`")
    return data


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only this user may read, completely or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open_file(temporary, "xb") as file:
            file.write(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class _FileStore:
    """Entries in a JSON file that several processes change, one at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def change(self, work: Callable[[dict[str, Entry]], None]) -> None:
        """See tokens.Store."""
        with open_file(self._path.with_name(f".{self._path.name}.lock"), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            entries = self._read()
            rows = [dataclasses.asdict(entry) for entry in entries.values()]
            work(entries)
            changed_rows = [dataclasses.asdict(entry) for entry in entries.values()]
            if changed_rows != rows:
                write_private(self._path, (json.dumps(changed_rows, indent=1) + "\n").encode())

    def _read(self) -> dict[str, Entry]:
        if not self._path.exists():
            return {}
        data = read_file(self._path, "credentials", MAX_TEXT_BYTES, pipes=False, error=CredentialsError)
        try:
            entries = [_checked_entry(Entry(**row)) for row in parse_json(data)]
        except (ValueError, TypeError) as error:
            raise CredentialsError(
                f"{self._path} is damaged: {error}", "remove it to give up the tokens that were issued"
            ) from None
        return {entry.token_id: entry for entry in entries}


def _checked_entry(entry: Entry) -> Entry:
    texts, numbers = (entry.token_id, entry.secret_sha256), (entry.uses, entry.uses_left, entry.expires_s)
    if not all(isinstance(text, str) for text in texts) or not all(
        isinstance(number, int | float) for number in numbers
    ):
        raise ValueError(f"the entry of token {entry.token_id!r} has values of other types")
    return entry
