"""The options of `heyfleet run`: one typed record, and the table of declarations that it is made from.

`RunOptions` holds values. `OPTIONS` says for each field which flags, plan-file key and environment variable set it, and how
its text is parsed. Where several set the same option, the first of these wins:

    1. a flag or keyword
    2. the environment variable HEYFLEET_<OPTION>; an empty one counts as not set
    3. the plan file
    4. the default
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from heyfleet.errors import InputError
from heyfleet.plan.octets import to_octets
from heyfleet.plan.option_types import Option, declared_options
from heyfleet.plan.request_spec import RequestSpec
from heyfleet.plan.sections.connection import ConnectionOptions, TlsOptions
from heyfleet.plan.sections.fleet import DeploymentOptions, FleetOptions
from heyfleet.plan.sections.load import LoadOptions, ProfileOptions, ThresholdOptions
from heyfleet.plan.sections.output import GeneratorOptions, OutputOptions
from heyfleet.plan.sections.request import RequestOptions

Text = str | bool | Sequence[str]  # a switch takes a bool, a list option several texts


@dataclass(frozen=True, kw_only=True)
class RunOptions(
    LoadOptions,
    ProfileOptions,
    ThresholdOptions,
    RequestOptions,
    ConnectionOptions,
    TlsOptions,
    FleetOptions,
    DeploymentOptions,
    OutputOptions,
    GeneratorOptions,
):
    """Every option of a run. Each value is valid by itself; `heyfleet.plan.conflicts` checks them together."""

    url: str = ""
    # From a plan or targets file; if there are none, the flags describe the one request.
    request_specs: tuple[RequestSpec, ...] = ()


OPTIONS: tuple[Option, ...] = tuple(
    declared for section in RunOptions.__bases__ for declared in declared_options(section)
)


def find_option(name: str) -> Option | None:
    """Return the option with this flag or plan-file key, written with or without dashes, or with _ for -."""
    return _BY_NAME.get(spell_key(name.lstrip("-")))


def spell_key(name: str) -> str:
    """Return a name with - for _; a final underscore keeps Python's `for_` and `with_` apart from its keywords."""
    return name.removesuffix("_").replace("_", "-")


def make_options(url: str, values: Mapping[str, object]) -> RunOptions:
    """Return the options with these parsed values by field; the rest are defaults. Raises InputError."""
    options = RunOptions(url=url, **values)  # type: ignore[arg-type]  # each value comes from its field's parser
    if not options.json:
        return options
    if options.output == "csv":
        raise InputError("-o csv and --json exclude each other")
    return replace(options, output="json", json=False)


def options_from_texts(texts: Mapping[str, Text], url: str = "") -> RunOptions:
    """Return the options of texts by name (any name that `find_option` knows). Raises InputError."""
    values: dict[str, object] = {}
    for name, text in texts.items():
        option = find_option(name)
        if option is None:
            raise InputError(f"{name}: there is no such option", suggest(name, list(_BY_NAME)))
        if option.field in values:
            raise InputError(f"{name}: {option.long_flag} is given twice")
        values[option.field] = parse_text(option, text, name)
    return make_options(url, values)


def parse_text(option: Option, text: Text, source: str) -> object:
    """Return the value of an option's text. The InputError of a bad one begins with `source`."""
    try:
        for each in [text] if isinstance(text, str) else [] if isinstance(text, bool) else text:
            to_octets(each)  # raises ValueError
        if isinstance(text, bool):
            if not option.is_switch:
                raise ValueError("a value is missing")
            return text
        if isinstance(text, str):
            return (option.parse(text),) if option.is_list else option.parse(text)
        if not option.is_list:
            raise ValueError("only one value is possible")
        return tuple(option.parse(item) for item in text)
    except ValueError as error:
        raise InputError(f"{source}: {error}") from None


def environment_texts(environ: Mapping[str, str]) -> dict[str, Text]:
    """Return the texts that environment variables give, by field; each is checked. Raises InputError.

    The items of a list option stand on lines of their own.
    """
    texts: dict[str, Text] = {}
    for option in OPTIONS:
        variable = environ.get(option.environment_variable)
        if not variable:
            continue
        lines = [line for line in variable.splitlines() if line.strip()]
        text: Text = lines if option.is_list else variable
        value = parse_text(option, text, option.environment_variable)
        texts[option.field] = bool(value) if option.is_switch else text
    return texts


def suggest(name: str, known: Sequence[str]) -> str:
    """Return a cure for an unknown name: the nearest known one, or all of them."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"


def _by_name() -> dict[str, Option]:
    names = [
        (name, option)
        for option in OPTIONS
        for name in {flag.lstrip("-") for flag in option.flags} | set(option.plan_keys)
    ]
    table = dict(names)
    if len(table) != len(names):
        raise AssertionError("two options have the same name")
    return table


_BY_NAME = _by_name()
