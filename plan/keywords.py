"""Options from Python values: what a program passes as keywords becomes the texts that the option table parses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from os import PathLike, fspath

from heyfleet.durations import MAX_DURATION_NS, format_duration
from heyfleet.errors import InputError
from heyfleet.plan.octets import to_text
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
        except (TypeError, ValueError) as error:
            raise InputError(f"{name}: {error}") from None
    return texts


def _text(option: Option, value: object) -> Text:
    if isinstance(value, bool):
        return value
    if option.is_list:
        return _list(option, value)
    if isinstance(value, Iterable) and option.separator and not isinstance(value, str):
        return option.separator.join(_scalar(option, item) for item in value)
    return _scalar(option, value)


def _list(option: Option, value: object) -> list[str]:
    if isinstance(value, str | bytes):
        return [_scalar(option, value)]
    if isinstance(value, Mapping):
        return [_pair(option, pair) for pair in value.items()]
    if isinstance(value, Iterable):
        return [
            _scalar(option, item) if isinstance(item, str | bytes) else _pair(option, item) for item in value
        ]
    raise TypeError(f"{_shown(value)} is not a text, a list or a mapping")


def _shown(value: object) -> str:
    """Return a value for an error text: a number as it is, anything else, which may hold a secret, by its type."""
    return repr(value) if isinstance(value, int | float) else f"a {type(value).__name__}"


def _pair(option: Option, item: object) -> str:
    if isinstance(item, tuple) and len(item) == 2:
        return option.pair_separator.join(_scalar(option, part) for part in item)
    raise TypeError(f"{_shown(item)} is not a text or a pair of name and value")


def _scalar(option: Option, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):  # `make_requests` turns the text into the same bytes again
        return to_text(value)
    if isinstance(value, timedelta):
        return format_duration(value // timedelta(microseconds=1) * 1000)
    if isinstance(value, int | float) and option.is_duration:
        return _seconds(value)
    if isinstance(value, int | float):
        # The grammar of numbers has no exponents, which Python writes small ones with.
        return f"{Decimal(repr(value)):f}" if 0 < value < 1 else repr(value)
    if isinstance(value, PathLike):
        return str(fspath(value))
    raise TypeError(f"the value is a {type(value).__name__}, which no option takes")


def _seconds(value: float) -> str:
    """Return seconds as a duration. Raises ValueError for a number that is none."""
    if not value <= MAX_DURATION_NS / _NS_PER_S:  # also for nan
        raise ValueError(
            f"{value!r} is not a number of seconds; the maximum is {format_duration(MAX_DURATION_NS)}"
        )
    return format_duration(round(value * _NS_PER_S)) if value >= 0 else f"{value}s"
