"""Join tokens: good for so many agents, for so long. Only hashes are kept."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from heyfleet.controller.security.authority import Authority
from heyfleet.proto.protocol import ROLE_JOIN

VALID_S = 1800.0
_REMEMBERED_S = 86400.0  # after their end, so that a late one gets the true reason


class TokenError(Exception):
    """Nobody joins with that token: one line of why."""


@dataclass(slots=True)
class Entry:
    """What is kept of a token."""

    token_id: str
    secret_sha256: str
    uses: int
    uses_left: int
    expires_s: float  # of time.time


class Store(Protocol):
    """Where entries are kept; each method sees all that any process has done before."""

    def change(self, work: Callable[[dict[str, Entry]], None]) -> None:
        """Let `work` change the entries; nobody else does meanwhile. Nothing is kept if it raises."""
        ...


class InMemory:
    """Entries of this process only."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def change(self, work: Callable[[dict[str, Entry]], None]) -> None:
        """See Store."""
        work(self._entries)


class Tokens:
    """Issues and redeems."""

    def __init__(self, store: Store | None = None, now_s: Callable[[], float] = time.time) -> None:
        self._store = store or InMemory()
        self._now_s = now_s

    def issue(self, authority: Authority, uses: int = 1, valid_s: float = VALID_S) -> tuple[str, str]:
        """Id and text of a new token file, which has the secret and a certificate that is good for joining."""
        token_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        key, certificate = authority.client(ROLE_JOIN, token_id, timedelta(seconds=valid_s))
        entry = Entry(token_id, _sha256(secret), uses, uses, self._now_s() + valid_s)

        def add(entries: dict[str, Entry]) -> None:
            for old in [each for each in entries.values() if each.expires_s + _REMEMBERED_S < self._now_s()]:
                del entries[old.token_id]
            entries[token_id] = entry

        self._store.change(add)
        head = f"heyfleet-token 1\nid: {token_id}\nsecret: {secret}\n"
        return token_id, head + certificate.decode() + key.decode()

    def redeem(self, token_id: str, secret: str) -> None:
        """Use a token once. TokenError."""

        def use(entries: dict[str, Entry]) -> None:
            entry = entries.get(token_id)
            # An unknown token costs the same comparison, so that time tells nothing.
            right = hmac.compare_digest(_sha256(secret), entry.secret_sha256 if entry else _sha256(""))
            if entry is None:
                raise TokenError("its token is not known here: take a join.token of this very controller")
            if not right:
                raise TokenError("the secret of its token is wrong")
            if entry.expires_s < self._now_s():
                when = datetime.datetime.fromtimestamp(entry.expires_s, datetime.UTC)
                raise TokenError(
                    f"its token expired at {when:%Y-%m-%d %H:%M:%S} UTC; `heyfleet ca token` makes a new one"
                )
            if entry.uses_left <= 0:
                raise TokenError(
                    f"its token has been used as often as it may ({entry.uses}); `heyfleet ca token --uses N` makes one for N"
                )
            entry.uses_left -= 1

        self._store.change(use)

    def entries(self) -> list[Entry]:
        """All that are known."""
        found: list[Entry] = []
        self._store.change(lambda entries: found.extend(entries.values()))
        return found


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
