"""A click type made of a function that parses text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import click

T = TypeVar("T")


class ParsedType(click.ParamType[T], Generic[T]):
    """The values of `parse`, whose ValueError becomes the error that the user sees; defaults are passed on as they are."""

    def __init__(self, name: str, parse: Callable[[str], T]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: str | T, param: click.Parameter | None, ctx: click.Context | None) -> T:
        """Parse a command-line value."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
