"""Options from Python values: what a program passes as keywords becomes the texts that the option table parses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from os import PathLike, fspath

from heyfleet.durations import format_duration
from heyfleet.errors import InputError
from heyfleet.plan.option_types import Option
from heyfleet.plan.options import RunOptions, Text, find_option, options_from_texts

_NS_PER_S = 1_000_000_000


def options_from_values(values: Mapping[str, object], url: str = "") -> RunOptions:
    """Return the options of Python values by name: duration=3, rate=500, headers={"A": "b"}, body=b"...".

    A name is that of a flag or plan-file field, with _ for -. None stands for a value that isn't given. Raises InputError.
    """
    return options_from_texts(texts_from_values(values), url)


def texts_from_values(values: Mapping[str, object]) -> dict[str, Text]:
    """Return the texts of Python values by name, as a command line or plan file would have them. Raises InputError."""
    texts: dict[str, Text] = {}
    for name, value in values.items():
        option = find_option(name)
        if value is None:
            continue
        try:
            texts[name] = _text(option, value) if option else ""  # `options_from_texts` refuses unknown names
        except TypeError as error:
            raise InputError(f"{name}: {error}") from None
    return texts


def _text(option: Option, value: object) -> Text:
    if isinstance(value, bool):
        return value
    if option.is_list:
        return _list(value)
    if isinstance(value, Iterable) and option.separator and not isinstance(value, str):
        return option.separator.join(_scalar(option, item) for item in value)
    return _scalar(option, value)


def _list(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [f"{name}: {text}" for name, text in value.items()]
    if isinstance(value, Iterable):
        return [item if isinstance(item, str) else _pair(item) for item in value]
    raise TypeError(f"{_shown(value)} is not a text, a list or a mapping")


def _shown(value: object) -> str:
    """Return a value for an error text: a number as it is, anything else, which may hold a secret, by its type."""
    return repr(value) if isinstance(value, int | float) else f"a {type(value).__name__}"


def _pair(item: object) -> str:
    if isinstance(item, tuple) and len(item) == 2:
        return f"{item[0]}: {item[1]}"
    raise TypeError(f"{_shown(item)} is not a text or a pair of name and value")


def _scalar(option: Option, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):  # `make_requests` turns the text into the same bytes again
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, timedelta):
        return format_duration(value // timedelta(microseconds=1) * 1000)
    if isinstance(value, int | float) and option.field.endswith("_ns"):
        return format_duration(round(value * _NS_PER_S)) if value >= 0 else f"{value}s"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, PathLike):
        return str(fspath(value))
    raise TypeError(f"the value is a {type(value).__name__}, which no option takes")
