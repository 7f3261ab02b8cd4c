"""Flags as Go programs take them, on top of click: -n 5, -n=5, --n 5; before or after the URL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

TRUE = {"1", "t", "T", "true", "TRUE", "True"}
FALSE = {"0", "f", "F", "false", "FALSE", "False"}


class Value(click.ParamType[Any]):
    """The type of a flag whose text one function turns into a value, or rejects with ValueError."""

    def __init__(self, name: str, convert: Callable[[str], Any]) -> None:
        self.name = name
        self._convert = convert

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value of a text; what is no text is a default, and has been converted."""
        try:
            return self._convert(value) if isinstance(value, str) else value
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None


class Flag(click.Option):
    """A flag that knows the section of the help it belongs to."""

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class GoCommand(click.Command):
    """A command whose flags have one dash or two, and no abbreviations and no bundles."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Bring the flags into the one form that click can't misread (it takes -dfoo for -d foo)."""
        return super().parse_args(ctx, self._canonical(ctx, args))

    def texts(self, ctx: click.Context, args: list[str]) -> dict[str, Any]:
        """What was typed for each flag that was given, by its name; of one that may be repeated, a list."""
        known = {param.opts[0]: param for param in self.get_params(ctx) if isinstance(param, click.Option)}
        found: dict[str, Any] = {}
        rest = iter(self._canonical(ctx, args))
        for flag in rest:
            if flag == "--":
                break
            param = known[flag]
            value = True if param.is_flag else next(rest)
            if param.multiple:
                found.setdefault(str(param.name), []).append(value)
            elif param.name != "plan_file":
                found[str(param.name)] = value
        return found

    def _canonical(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {
            opt.lstrip("-"): param
            for param in self.get_params(ctx)
            if isinstance(param, click.Option)
            for opt in param.opts
        }
        flags: list[str] = []
        positional: list[str] = []
        rest = iter(args)
        for arg in rest:
            if arg == "--":
                positional.extend(rest)
            elif not arg.startswith("-") or arg == "-":
                positional.append(arg)
            else:
                name, equals, value = arg.removeprefix("-").removeprefix("-").partition("=")
                if name not in known:
                    raise click.UsageError(_unknown(arg.partition("=")[0], name, list(known)), ctx)
                flags += _one(known[name], arg, value if equals else None, rest)
        return [*flags, "--", *positional]

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The one line that hey has."""
        formatter.write_usage(ctx.command_path, "[flags] URL")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The flags, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, Flag) and not param.hidden:
                name = (
                    param.opts[0] if param.is_flag else f"{param.opts[0]} {param.metavar or param.type.name}"
                )
                sections.setdefault(param.section, []).append((name, param.help or ""))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def _one(param: click.Option, arg: str, value: str | None, rest: Any) -> list[str]:
    """One flag as click's parser wants it: the name, and the value beside it."""
    name = param.opts[0]
    if param.is_flag:
        if value is None or value in TRUE:
            return [name]
        if value in FALSE:
            return []
        raise click.UsageError(f"{name}: {value!r} is neither true nor false")
    if value is None:
        value = next(rest, None)
        if value is None:
            raise click.UsageError(f"{arg} needs a value")
    return [name, value]


def _unknown(arg: str, name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = [other for other in known if other.lower() == name.lower()] or get_close_matches(name, known, 1)
    hint = f"did you mean -{near[0]}?" if near else "heyfleet run -h shows all flags"
    return f"unknown flag {arg}; {hint}"
