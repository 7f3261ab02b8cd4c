"""Flags as Go programs take them, on top of click: -n 5, -n=5, --n 5; before or after the URL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from heyfleet.plan.option_types import Option, parse_switch

_SPELLINGS = "heyfleet.spellings"  # in a context's `meta`: how each flag was typed, by the name of its value


class Value(click.ParamType[Any]):
    """The type of a flag whose text one function converts, or rejects with ValueError."""

    def __init__(self, name: str, convert: Callable[[str], Any], choices: tuple[str, ...] = ()) -> None:
        self.name = name
        self._convert = convert
        self._choices = choices

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value of a text; anything else is a default, which is a value already."""
        try:
            return self._convert(value) if isinstance(value, str) else value
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the choices that begin like the incomplete word, or let the shell complete files and folders."""
        if self.name in ("FILE", "DIR"):
            return [CompletionItem(incomplete, type=self.name.lower())]
        return [CompletionItem(choice) for choice in self._choices if choice.startswith(incomplete)]


class Flag(click.Option):
    """A flag made from an option's declaration."""

    def __init__(self, option: Option) -> None:
        value: dict[str, Any] = {
            "type": Value(option.metavar, option.parse, option.choices),
            "multiple": option.is_list,
        }
        super().__init__(
            [*option.flags, option.field],
            help=option.help,
            **({"is_flag": True} if option.is_switch else value),
        )
        self.option = option


class TypedFlag(NamedTuple):
    """One flag as it was typed; the value of a switch is a bool."""

    param: click.Option
    value: str | bool


class GoCommand(click.Command):
    """A command whose flags have one dash or two, without abbreviations and bundles."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Bring the flags into the one form that click can't misread (it takes -dfoo for -d foo)."""
        if ctx.resilient_parsing:  # completion, where the last word may be incomplete
            return super().parse_args(ctx, args)
        typed, positional = self.split(ctx, args)
        canonical: list[str] = []
        for param, value in typed:
            if value is not False:
                canonical += [param.opts[-1]] if value is True else [param.opts[-1], value]
        return super().parse_args(ctx, [*canonical, "--", *positional])

    def split(self, ctx: click.Context, args: list[str]) -> tuple[list[TypedFlag], list[str]]:
        """Return the flags with their values, and all other words."""
        known = {
            opt.lstrip("-"): param
            for param in self.get_params(ctx)
            if isinstance(param, click.Option)
            for opt in param.opts
        }
        typed: list[TypedFlag] = []
        positional: list[str] = []
        rest = iter(args)
        for arg in rest:
            if arg == "--":
                positional.extend(rest)
            elif not arg.startswith("-") or arg == "-":
                positional.append(arg)
            else:
                flag, equals, value = arg.partition("=")
                name = flag.removeprefix("-").removeprefix("-")
                if name not in known:
                    raise click.UsageError(_unknown(flag, name, known), ctx)
                param = known[name]
                ctx.meta.setdefault(_SPELLINGS, {})[param.name] = flag
                typed.append(TypedFlag(param, _value(param, flag, value if equals else None, rest)))
        return typed, positional

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the one usage line that hey has."""
        formatter.write_usage(ctx.command_path, "[flags] URL")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, Flag):
                option = param.option
                names = f"{', '.join(option.flags)} {option.metavar}".rstrip()
                default = f" Default: {option.default_text}." if option.default_text else ""
                sections.setdefault(option.section, []).append((names, f"{option.help}{default}"))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def spelling(error: click.BadParameter) -> str:
    """Return the flag that an error is about, as it was typed."""
    name = error.param.opts[0] if error.param else ""
    return (
        str(error.ctx.meta.get(_SPELLINGS, {}).get(error.param.name, name))
        if error.ctx and error.param
        else name
    )


def _value(param: click.Option, flag: str, value: str | None, rest: Iterator[str]) -> str | bool:
    if param.is_flag:
        try:
            return True if value is None else parse_switch(value)
        except ValueError as error:
            raise click.UsageError(f"{flag}: {error}") from None
    if value is None:
        value = next(rest, None)
    if value is None:
        raise click.UsageError(f"{flag} needs a value")
    return value


def _unknown(flag: str, name: str, known: dict[str, click.Option]) -> str:
    from difflib import get_close_matches

    # What follows a name may be a value, and secret: -auser:password, -H'Cookie: x'.
    name, flag = (re.split(r"[^\w\n-]", text)[0] for text in (name, flag))
    near = [other for other in known if other.lower() == name.lower()] or get_close_matches(name, known, 1)
    if not near:
        return f"unknown flag {flag}; heyfleet run -h shows all flags"
    return f"unknown flag {flag}; did you mean {'-' if len(near[0]) == 1 else '--'}{near[0]}?"
