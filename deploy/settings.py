"""Settings of a fleet: what a fleet file has and `--with NAME=VALUE` gives, read by an engine's table of those it knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

_DURATION = re.compile(r"(\d+)(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class SettingError(click.ClickException):
    """A setting that can't be: one line that names it, and what it may be. Exit code 2."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Setting:
    """One of an engine's: `kind` is str, int, bool, list (of words; also a file of them) or "duration" (read as seconds)."""

    name: str
    help: str
    kind: type | str = str
    default: Any = ""
    choices: tuple[str, ...] = ()

    def read(self, value: object) -> Any:
        """The value in its kind; SettingError if it can't be."""
        try:
            found = _READERS[self.kind](value)
        except (ValueError, KeyError, OSError) as error:
            what = {int: "a number", bool: "true or false", "duration": "like 90s, 30m or 2h"}.get(
                self.kind, "words"
            )
            detail = f" ({error})" if isinstance(error, OSError) else ""
            raise SettingError(f"{self.name}: {value!r} is not {what}{detail}") from None
        if self.choices and found not in self.choices:
            raise SettingError(f"{self.name}: {value!r} is none of {', '.join(self.choices)}")
        return found


def read(engine: str, known: Iterable[Setting], given: Mapping[str, object]) -> dict[str, Any]:
    """All settings of an engine by name, those not given by their defaults. SettingError for one that is unknown or bad."""
    table = {setting.name: setting for setting in known}
    for name in given:
        if name not in table:
            raise SettingError(f"{name}: {engine} has no such setting; it has {', '.join(table)}")
    return {
        name: setting.read(given[name]) if name in given else setting.default
        for name, setting in table.items()
    }


def words(value: object) -> list[str]:
    """A list as it is; a text cut at commas, or, if it names a file, the file's lines without comments."""
    if isinstance(value, list):
        return [str(each) for each in value]
    text = str(value)
    if "," not in text and Path(text).is_file():
        lines = (line.partition("#")[0].strip() for line in Path(text).read_text().splitlines())
        return [line for line in lines if line]
    return [word.strip() for word in text.split(",") if word.strip()]


def seconds(value: object) -> int:
    """Of 90s, 30m or 2h. ValueError if it is none."""
    match = _DURATION.fullmatch(str(value))
    if match is None:
        raise ValueError(value)
    return int(match[1]) * _SECONDS[match[2]]


_READERS: dict[type | str, Any] = {
    str: str,
    int: lambda value: int(str(value)),
    bool: lambda value: value if isinstance(value, bool) else _TRUTH[str(value).lower()],
    list: words,
    "duration": seconds,
}
