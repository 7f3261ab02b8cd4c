"""Join tokens, each good for a number of agents and for some time. Only hashes of their secrets are stored."""

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
from heyfleet.errors import HeyfleetError
from heyfleet.proto.protocol import ROLE_JOIN

VALID_S = 1800.0
# Expired tokens are remembered, so that a late agent learns that its token expired, and not that it is unknown.
_KEPT_AFTER_EXPIRY_S = 86400.0


class TokenError(HeyfleetError):
    """A token that can't be used to join."""


@dataclass(slots=True)
class Entry:
    """What is stored of a token."""

    token_id: str
    secret_sha256: str
    uses: int
    uses_left: int
    expires_s: float  # seconds since the epoch


class Store(Protocol):
    """A store of entries, which may be shared by several processes."""

    def change(self, work: Callable[[dict[str, Entry]], None]) -> None:
        """Let `work` change the entries, by id, while no one else does. If it raises, nothing is stored."""
        ...


class InMemory:
    """The entries of this process only."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def change(self, work: Callable[[dict[str, Entry]], None]) -> None:
        """See Store."""
        work(self._entries)


class Tokens:
    """Issues and redeems tokens. `now_s` returns seconds since the epoch."""

    def __init__(self, store: Store | None = None, now_s: Callable[[], float] = time.time) -> None:
        self._store = store or InMemory()
        self._now_s = now_s

    def issue(self, authority: Authority, uses: int = 1, valid_s: float = VALID_S) -> tuple[str, str]:
        """Issue a token and return its id and the text of its file: the secret and a certificate for joining."""
        token_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        key, certificate = authority.client(ROLE_JOIN, token_id, timedelta(seconds=valid_s))
        entry = Entry(token_id, _sha256(secret), uses, uses, self._now_s() + valid_s)

        def add(entries: dict[str, Entry]) -> None:
            forgotten_s = self._now_s() - _KEPT_AFTER_EXPIRY_S
            for old in [each for each in entries.values() if each.expires_s < forgotten_s]:
                del entries[old.token_id]
            entries[token_id] = entry

        self._store.change(add)
        preamble = f"heyfleet-token 1\nid: {token_id}\nsecret: {secret}\n"
        return token_id, preamble + certificate.decode() + key.decode()

    def redeem(self, token_id: str, secret: str) -> None:
        """Use a token once. Raises TokenError, in which case no use is lost."""

        def use(entries: dict[str, Entry]) -> None:
            entry = entries.get(token_id)
            # An unknown token costs the same comparison, so that the time to answer reveals nothing.
            is_right = hmac.compare_digest(_sha256(secret), entry.secret_sha256 if entry else _sha256(""))
            if entry is None:
                raise TokenError("the token is not known here", "use a join.token issued for this controller")
            if not is_right:
                raise TokenError("the secret of the token is wrong")
            if entry.expires_s < self._now_s():
                expiry = datetime.datetime.fromtimestamp(entry.expires_s, datetime.UTC)
                raise TokenError(
                    f"the token expired at {expiry:%Y-%m-%d %H:%M:%S} UTC",
                    "`heyfleet ca token` makes a new one",
                )
            if entry.uses_left <= 0:
                agents = f"{entry.uses} agent{'s' if entry.uses > 1 else ''}"
                raise TokenError(
                    f"the token was issued for {agents} and has no uses left",
                    "`heyfleet ca token --uses N` makes a token for N agents",
                )
            entry.uses_left -= 1

        self._store.change(use)

    def entries(self) -> list[Entry]:
        """Return all entries."""
        result: list[Entry] = []
        self._store.change(lambda entries: result.extend(entries.values()))
        return result


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
