"""What is asked of deploy: a fleet file, and over it the flags of a command line, read into one description."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heyfleet.deploy.provider import Provider
from heyfleet.deploy.providers import PROVIDERS, engine
from heyfleet.deploy.settings import SettingError, seconds

LIFETIME_S = 2 * 3600
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_COMMON = ("on", "name", "agents", "join", "for")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSpec:
    """A fleet as it is described; `agents` is 0 and `name` empty where nobody said."""

    on: str
    engine: Provider
    name: str
    agents: int
    join: str
    lifetime_s: int


def asked(file: str, pairs: Iterable[str], **flags: object) -> FleetSpec:
    """Of a fleet file (or ""), of NAME=VALUE pairs, and of flags by their names (None or "" or 0: not given). SettingError."""
    given: dict[str, Any] = _load(file) if file else {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SettingError(f"--with {pair!r}: it is like --with NAME=VALUE")
        given[name.strip().replace("-", "_")] = value
    given |= {name.rstrip("_"): value for name, value in flags.items() if value}
    common = {name: given.pop(name) for name in _COMMON if name in given}
    on = str(common.get("on", ""))
    if not on:
        raise SettingError(f"where? --on {'|'.join(PROVIDERS)}, or `on:` in the fleet file")
    made = engine(on, given)
    agents = _number(common.get("agents", 0)) or len(getattr(made, "hosts", ()))
    return FleetSpec(
        on=on,
        engine=made,
        name=_name(common.get("name", "")),
        agents=agents,
        join=str(common.get("join", "")),
        lifetime_s=_lifetime(common.get("for", "")),
    )


def _load(path: str) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise SettingError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise SettingError(f"{path}: no YAML: {' '.join(str(error).split())}") from None
    if isinstance(found, Mapping):  # to YAML, a bare `on` is the word for true
        found = {"on" if name is True else name: value for name, value in found.items()}
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise SettingError(f"{path}: it should have lines like `on: ssh` and `agents: 4`")
    return {str(name).replace("-", "_"): value for name, value in found.items() if value is not None}


def _number(value: object) -> int:
    text = str(value)
    if not text.isdecimal():
        raise SettingError(f"agents: {value!r} is not a number")
    return int(text)


def _name(value: object) -> str:
    name = str(value)
    if name and not _NAME.fullmatch(name):
        raise SettingError(
            f"name: {name!r} is not lower-case letters, digits and -, a letter first, 40 at most: it goes into tags and labels"
        )
    return name


def _lifetime(value: object) -> int:
    if not value:
        return LIFETIME_S
    try:
        found = seconds(value)
    except ValueError:
        raise SettingError(f"for: {value!r} is not like 90s, 30m or 2h") from None
    if not found:
        raise SettingError("for: a fleet that ends at once makes no load")
    return found
