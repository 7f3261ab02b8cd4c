"""What an option is. A field of an options class, made by one of the functions below, is the option's only declaration.

    requests: int | None = option("-n", "--requests", parse=count, default=None, help="Number of requests to send.")

The command line, plan files, environment variables, the Python API, the reference pages and shell completion read
these declarations; nothing about an option is repeated elsewhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

_Value = TypeVar("_Value")
_METADATA_KEY = "option"

TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})  # the spellings that Go's flag package accepts
FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of `heyfleet run`. `field` and `section` are filled in when the table is made."""

    flags: tuple[str, ...]  # hey's short name first, where hey has one; the long name last
    parse: Callable[[str], Any]  # raises ValueError with one line for people
    default: Any
    default_text: str  # "" where the help has no default to name
    help: str
    metavar: str  # "" for a switch
    is_switch: bool = False
    is_list: bool = False  # may be given several times
    separator: str = ""  # joins the items of a YAML list to the text that `parse` takes; "" allows no list
    choices: tuple[str, ...] = ()
    plan_key: str = ""  # "" means that plan files can't set it
    is_input_file: bool = False  # plan files name it relative to their own folder
    plan_field: str = (
        ""  # the field of the plan's message that the value is copied to; "" where build.py does more
    )
    field: str = ""
    section: str = ""

    @property
    def long_flag(self) -> str:
        """The flag that the documentation uses where space is no concern."""
        return self.flags[-1]

    @property
    def is_duration(self) -> bool:
        """Whether a number stands for seconds."""
        return self.metavar in {"DURATION", "SECONDS"}

    @property
    def pair_separator(self) -> str:
        """What joins the name and the value of each item of a list option that takes fields; "" for one that does not."""
        return next((separator for separator in (": ", "=") if f"NAME{separator}VALUE" in self.metavar), "")

    @property
    def name(self) -> str:
        """The long flag without its dashes."""
        return self.long_flag.lstrip("-")

    @property
    def environment_variable(self) -> str:
        """The variable that sets the option where no flag does."""
        return f"HEYFLEET_{self.name.upper().replace('-', '_')}"

    @property
    def plan_keys(self) -> tuple[str, ...]:
        """Every key that plan files accept for it: the documented one first, then the long flag's name."""
        return tuple(dict.fromkeys((self.plan_key, self.name))) if self.plan_key else ()


def option(
    *flags: str,
    parse: Callable[[str], _Value],
    default: _Value,
    help: str,  # noqa: A002
    metavar: str,
    default_text: str | None = None,
    separator: str = "",
    choices: tuple[str, ...] = (),
    plan_key: str | None = None,
    is_input_file: bool = False,
    plan_field: str = "",
) -> _Value:
    """Declare an option that takes one value. Without `default_text` the help shows the default itself, if there is one."""
    made: _Value = _declare(
        Option(
            flags=flags,
            parse=parse,
            default=default,
            default_text=_default_text(default) if default_text is None else default_text,
            help=help,
            metavar=metavar,
            separator=separator,
            choices=choices,
            plan_key=_plan_key(flags, plan_key),
            is_input_file=is_input_file,
            plan_field=plan_field,
        )
    )
    return made


def list_option(
    *flags: str,
    parse: Callable[[str], _Value],
    help: str,  # noqa: A002
    metavar: str,
    plan_key: str | None = None,
) -> tuple[_Value, ...]:
    """Declare an option that may be given several times; its value is the tuple of all values, in order."""
    made: tuple[_Value, ...] = _declare(
        Option(
            flags=flags,
            parse=parse,
            default=(),
            default_text="",
            help=help,
            metavar=metavar,
            is_list=True,
            plan_key=_plan_key(flags, plan_key),
        )
    )
    return made


def switch(*flags: str, help: str, plan_field: str = "") -> bool:  # noqa: A002
    """Declare an option without a value; it is off by default."""
    made: bool = _declare(
        Option(
            flags=flags,
            parse=parse_switch,
            default=False,
            default_text="",
            help=help,
            metavar="",
            is_switch=True,
            plan_key=_plan_key(flags, None),
            plan_field=plan_field,
        )
    )
    return made


def parse_switch(text: str) -> bool:
    """Return the truth value of a switch, spelled as Go spells it."""
    if text not in TRUE | FALSE:
        raise ValueError(f"{text!r} is neither true nor false")
    return text in TRUE


def declared_options(section: type) -> Iterator[Option]:
    """Yield the options of one section class, in the order of their declaration."""
    title = cast(str, section.title)  # type: ignore[attr-defined]
    for field in dataclasses.fields(section):
        declared: Option | None = field.metadata.get(_METADATA_KEY)
        if declared is not None and field.name in section.__annotations__:
            yield dataclasses.replace(declared, field=field.name, section=title)


def _declare(declared: Option) -> Any:
    return dataclasses.field(default=declared.default, metadata={_METADATA_KEY: declared})


def _plan_key(flags: tuple[str, ...], plan_key: str | None) -> str:
    return flags[-1].lstrip("-") if plan_key is None else plan_key


def _default_text(default: object) -> str:
    return str(default) if isinstance(default, int | float | str) and default else ""
