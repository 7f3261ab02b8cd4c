"""Merge a fleet file and command-line flags into a FleetSpec; flags win."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from heyfleet.deploy.provider import LaunchSpec, Provider
from heyfleet.deploy.providers import PROVIDERS, make_provider
from heyfleet.deploy.settings import SettingError, read_seconds
from heyfleet.files import read_text_file

DEFAULT_LIFETIME_S = 2 * 3600
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_COMMON_KEYS = ("on", "name", "agents", "join", "for")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSpec:
    """A fleet as a person described it."""

    on: str
    """The provider's name."""
    provider: Provider
    name: str
    """Empty if none was given."""
    agents: int
    """0 if no number was given and the provider can't tell."""
    join: str
    """HOST:PORT of the controller as the agents see it; empty if none was given."""
    lifetime_s: int

    def launch_spec(self, *, fleet: str, join: str, tunnel: bool = False) -> LaunchSpec:
        """Return what to launch, under this name and for the controller at this address."""
        return LaunchSpec(
            fleet=fleet, agents=self.agents, join=join, tunnel=tunnel, lifetime_s=self.lifetime_s
        )


def read_fleet_spec(file: str, settings: Iterable[str], **flags: object) -> FleetSpec:
    """Read a fleet file ("" for none), NAME=VALUE settings, and flags by name. Raises SettingError.

    Flags that are None, "" or 0 count as not given. A trailing underscore keeps `for_` apart from the keyword.
    """
    values: dict[str, Any] = _load(file) if file else {}
    for pair in settings:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SettingError(f"--with {pair!r} has no value", "write --with NAME=VALUE")
        values[name.strip().replace("-", "_")] = value
    values |= {name.rstrip("_"): value for name, value in flags.items() if value}
    common = {name: values.pop(name) for name in _COMMON_KEYS if name in values}
    on = str(common.get("on", ""))
    if not on:
        raise SettingError(
            "no provider is named", f"use --on {'|'.join(PROVIDERS)}, or write `on:` in the fleet file"
        )
    provider = make_provider(on, values)
    return FleetSpec(
        on=on,
        provider=provider,
        name=_read_name(common.get("name", "")),
        agents=_read_count(common.get("agents", 0)) or len(getattr(provider, "hosts", ())),
        join=str(common.get("join", "")),
        lifetime_s=_read_lifetime(common.get("for", "")),
    )


def _load(path: str) -> dict[str, Any]:
    from heyfleet.yaml_documents import YamlError, load_yaml

    text = read_text_file(path, "fleet file", error=SettingError)
    try:
        document = load_yaml(text)
    except YamlError as error:
        raise SettingError(f"{path}:{error.line}: {error.problem}") from None
    if isinstance(document, Mapping):  # YAML 1.1 reads a bare `on` as true
        document = {"on" if key is True else key: value for key, value in document.items()}
    if not isinstance(document, Mapping) or not all(isinstance(key, str) for key in document):
        raise SettingError(f"{path} is not a fleet file", "write lines like `on: ssh` and `agents: 4`")
    return {str(key).replace("-", "_"): value for key, value in document.items() if value is not None}


def _read_count(value: object) -> int:
    text = str(value)
    if not text.isdecimal():
        raise SettingError(f"agents: {value!r} is not a whole number")
    return int(text)


def _read_name(value: object) -> str:
    name = str(value)
    if name and not _NAME.fullmatch(name):
        raise SettingError(
            f"name: {name!r} can't be used in tags and labels",
            "use at most 40 lower-case letters, digits and -, starting with a letter",
        )
    return name


def _read_lifetime(value: object) -> int:
    if not value:
        return DEFAULT_LIFETIME_S
    try:
        lifetime_s = read_seconds(value)
    except ValueError as error:
        raise SettingError(f"for: {error}") from None
    if not lifetime_s:
        raise SettingError("for: a fleet that ends at once can't send anything")
    return lifetime_s
