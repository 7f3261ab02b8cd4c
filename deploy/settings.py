"""Settings of a provider: declared in its table, given in a fleet file or by `--with NAME=VALUE`, checked here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from heyfleet.documents import numbered_lines
from heyfleet.durations import parse_duration_ns
from heyfleet.errors import InputError
from heyfleet.files import is_readable_file, read_text_file

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_EXPECTED = {str: "text", int: "a whole number", bool: "true or false", list: "a list"}
_NS_PER_S = 1_000_000_000


class SettingError(InputError):
    """A setting that is unknown, missing or has an invalid value."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a provider; its type is str, int, bool or list (words, or a file with one a line)."""

    name: str
    help: str
    type: type = str
    default: Any = ""

    def read(self, value: object) -> Any:
        """Return the value in the setting's type. Raises SettingError."""
        try:
            return read_list(value, self.name) if self.type is list else _READERS[self.type](value)
        except OSError as error:
            raise SettingError(f"{self.name}: {value}: {error.strerror}") from None
        except (ValueError, KeyError):
            raise SettingError(f"{self.name}: {value!r} is not {_EXPECTED[self.type]}") from None


def read(provider: str, settings: Iterable[Setting], values: Mapping[str, object]) -> dict[str, Any]:
    """Return every setting of a provider by name, with defaults filled in. Raises SettingError."""
    table = {setting.name: setting for setting in settings}
    for name in values:
        if name not in table:
            cure = f"its settings are {', '.join(table)}" if table else "it has no settings"
            raise SettingError(f"{name}: {provider} has no such setting", cure)
    return {
        name: setting.read(values[name]) if name in values else setting.default
        for name, setting in table.items()
    }


def read_list(value: object, source: str) -> list[str]:
    """Return a list as text; split text at commas, or read the lines of the file that it names. Raises SettingError."""
    if isinstance(value, list):
        return [str(item) for item in value]
    text = str(value)
    if "," not in text and is_readable_file(text):
        content = read_text_file(text, source, error=SettingError)
        lines = (line.partition("#")[0].strip() for _, line in numbered_lines(content))
        return [line for line in lines if line]
    return [word.strip() for word in text.split(",") if word.strip()]


def read_seconds(value: object) -> int:
    """Return the whole seconds of a duration such as 90s or 1h30m, rounded up. Raises ValueError."""
    return -(-parse_duration_ns(str(value)) // _NS_PER_S)


_READERS: dict[type, Any] = {
    str: str,
    int: lambda value: int(str(value)),
    bool: lambda value: value if isinstance(value, bool) else _BOOLEANS[str(value).lower()],
}
