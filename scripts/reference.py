"""Write what is made from the code: docs/reference/{flags,plan-file,exit-codes,python}.md and src/heyfleet/keywords.py.

Run it after a change to the options or exit codes: `python scripts/reference.py`. tests/test_reference.py fails while a file
is out of date.
"""

from __future__ import annotations

import inspect
import io
import keyword
import re
import textwrap
import tokenize
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import heyfleet
from heyfleet import errors
from heyfleet.errors import ExitCode
from heyfleet.plan.option_types import Option
from heyfleet.plan.options import OPTIONS
from heyfleet.plan.plan_file import REQUEST_FIELDS

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs/reference"
KEYWORDS = ROOT / "src/heyfleet/keywords.py"
_VALUE_TYPES = {
    "N": "int | str",
    "RATE": "float | str",
    "DURATION": "Seconds",
    "SECONDS": "Seconds",
    "FILE": "Path",
}
_COMMAND_ONLY = {"output", "json", "out", "no-archive", "quiet", "repeat", "find-max", "dry-run"}
_WIDTH = 100
_GENERATED = "<!-- Made by scripts/reference.py from {source}; don't edit this page. -->"


def flags_page() -> str:
    """Return the page of all flags of `heyfleet run`."""
    return _page(
        "Flags of heyfleet run",
        "plan/sections/",
        [
            *_paragraphs(
                """
                    heyfleet run [flags] URL

                Flags have one dash or two and stand before or after the URL. A value is the next word, or it
                follows an equals sign: `-n 200`, `-n=200` and `--requests 200` mean the same. A switch has no
                value; `-disable-keepalive=false` turns it off again.

                An option can be set in three ways. The first of these wins:

                1. a flag
                2. the environment variable
                3. the [plan file](plan-file.md)

                An empty variable counts as not set. Where a flag may be repeated, its variable has one value on
                each line. `HEYFLEET_RUNS` names the folder that archives go to; `none` keeps no archives.
                """
            ),
            *_value_table(),
            *(line for title, options in _sections() for line in _flag_table(title, options)),
        ],
    )


def plan_file_page() -> str:
    """Return the page of all fields of plan files."""
    return _page(
        "Fields of plan files",
        "plan/sections/ and plan/plan_file.py",
        [
            *_paragraphs(
                """
                A plan file is YAML with the options of `heyfleet run` as fields. `heyfleet run -f plan.yaml`
                runs it, `heyfleet plan check plan.yaml` checks it, and `heyfleet plan show` prints the plan
                file of a command line.

                    url: http://localhost:8080/
                    rate: 5k/s
                    duration: 30s
                    warmup: 5s
                    slo: [p99<250ms, "errors<0.1%"]
                    requests:
                      - name: home
                        weight: 3
                      - name: log in
                        method: POST
                        path: /login
                        body: user=1
                        expect: [200, 3xx]

                [Flags and environment variables](flags.md) override the fields. A field may be written with
                `_` for `-`. Unknown fields are errors. `url` is the only field that a plan needs, unless
                `targets` names a file. Files are looked up in the folder of the plan file.

                `requests` is either a number, like `-n`, or a list of requests with the fields of the next
                section. With a list, `count` sets the number.
                """
            ),
            "## Fields of a request",
            "",
            "| Field | Meaning |",
            "|---|---|",
            *(f"| `{field}` | {_cell(text)} |" for field, text in REQUEST_FIELDS.items()),
            "",
            *(line for title, options in _sections() for line in _field_table(title, options)),
        ],
    )


def exit_codes_page() -> str:
    """Return the page of exit codes."""
    return _page(
        "Exit codes",
        "src/heyfleet/errors.py",
        [
            *_paragraphs(
                """
                Every command exits with one of these codes. If several apply, the first in this order is
                used: an interrupt, a fault, lost agents, no response, a failed threshold.
                """
            ),
            "| Code | Name | Meaning |",
            "|---|---|---|",
            *(f"| {code.value} | `{code.name}` | {_cell(_meaning(code))} |" for code in ExitCode),
            "",
        ],
    )


def keywords_module() -> str:
    """Return the module that declares the keywords of `heyfleet.run` for type checkers and editors."""
    lines = [
        '"""Keywords of `heyfleet.run`, for type checkers and editors. Made by scripts/reference.py; don\'t edit."""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Mapping, Sequence",
        "from datetime import timedelta",
        "from os import PathLike",
        "from typing import Any, TypedDict",
        "",
        "Seconds = float | str | timedelta",
        "Path = str | PathLike[str]",
        "Headers = Mapping[str, str] | Sequence[tuple[str, str]] | Sequence[str]",
        "",
        "",
        "class RunKeywords(TypedDict, total=False):",
        '    """Each option under its long name, and under hey\'s short one."""',
    ]
    for title, options in _sections():
        given = [option for option in options if option.name not in _COMMAND_ONLY]
        lines += ["", f"    # {title}"] if given else []
        lines += [
            f"    {name}: {_python_type(option)} | None"
            for option in given
            for name in _keyword_names(option)
        ]
        if title == "Request":
            lines.append("    json: Any")
    return "\n".join(lines) + "\n"


def python_page() -> str:
    """Return the reference of the Python API."""
    lines = ["[heyfleet from Python](../how-to/python.md) has examples.", "", "## Functions", ""]
    for function in (heyfleet.run, heyfleet.arun, heyfleet.load):
        prefix = "async " if inspect.iscoroutinefunction(function) else ""
        signature = _signature(function)
        lines += [
            f"### {function.__name__}",
            "",
            "```python",
            f"{prefix}{function.__name__}{signature}",
            "```",
            "",
        ]
        lines += _doc(function)
    lines += ["## Keywords of run and arun", ""]
    lines += ["| Keyword | Type | Meaning |", "|---|---|---|"]
    for option in OPTIONS:
        if option.name not in _COMMAND_ONLY:
            names = ", ".join(f"`{name}`" for name in _keyword_names(option))
            lines.append(f"| {names} | {_cell(_python_type(option))} | {_cell(option.help)} |")
    lines += ["| `json` | any | Value to send as JSON, instead of `data`. |", ""]
    lines += ["`Seconds` is a number of seconds, a `timedelta`, or a text such as `1m30s`.", ""]
    lines += ["## Result", "", *_doc(heyfleet.Result), "| Member | Meaning |", "|---|---|"]
    for name, member in vars(heyfleet.Result).items():
        if not name.startswith("_"):
            parameters = "" if isinstance(member, property) else _signature(member)
            shown = re.sub(r"\(self(?:, )?", "(", parameters.partition(" -> ")[0])
            meaning = " ".join((inspect.getdoc(member) or "").split())
            lines.append(f"| `{_escape(name + shown)}` | {_escape(meaning)} |")
    lines += ["", "## Errors", "", "| Class | Meaning |", "|---|---|"]
    for name, member in vars(errors).items():
        if inspect.isclass(member) and issubclass(member, errors.HeyfleetError):
            lines.append(f"| `{name}` | {_cell(' '.join((inspect.getdoc(member) or '').split()))} |")
    return _page("The Python API", "src/heyfleet", lines)


def _signature(function: Callable[..., object]) -> str:
    """Return a signature without the quotes of postponed annotations."""
    return re.sub(r"(: |-> )'([^']+)'", r"\1\2", str(inspect.signature(function)))


def _escape(text: str) -> str:
    """Escape what would end a cell, and nothing else: code is shown as it is."""
    return text.replace("|", "\\|")


def _doc(item: object) -> list[str]:
    return [*_paragraphs(inspect.getdoc(item) or "")]


def _keyword_names(option: Option) -> list[str]:
    names = [{"header": "headers", "body": "data", "data": "data_file"}.get(option.name, option.name)]
    names += [flag.lstrip("-") for flag in option.flags[:-1]]
    python_names = [name.replace("-", "_") for name in names]
    return [
        f"{name}_" if keyword.iskeyword(name) else name
        for name in dict.fromkeys(python_names)
        if not name[0].isdigit()
    ]


def _python_type(option: Option) -> str:
    if option.field == "headers":
        return "Headers"
    if option.field == "body":
        return "str | bytes"
    if option.is_switch:
        return "bool"
    if option.pair_separator:
        return "Mapping[str, str] | str | Sequence[str]"
    if option.is_list or option.separator:
        return "str | Sequence[str]"
    return _VALUE_TYPES.get(option.metavar, "str")


def pages() -> dict[Path, str]:
    """Return the text of every page by its path."""
    return {
        REFERENCE / "flags.md": flags_page(),
        REFERENCE / "plan-file.md": plan_file_page(),
        REFERENCE / "exit-codes.md": exit_codes_page(),
        KEYWORDS: keywords_module(),
        REFERENCE / "python.md": python_page(),
    }


def _page(title: str, source: str, lines: list[str]) -> str:
    return "\n".join([f"# {title}", "", _GENERATED.format(source=source), "", *lines]).rstrip() + "\n"


def _paragraphs(text: str) -> Iterator[str]:
    """Yield the lines of a text, prose wrapped, code and lists as they are."""
    for block in textwrap.dedent(text).strip("\n").split("\n\n"):
        if block.startswith(" ") or re.match(r"\d\. ", block):
            yield from block.splitlines()
        else:
            yield from textwrap.wrap(block, _WIDTH, break_long_words=False, break_on_hyphens=False)
        yield ""


def _sections() -> Iterator[tuple[str, list[Option]]]:
    for title, options in groupby(OPTIONS, lambda option: option.section):
        yield title, list(options)


def _value_table() -> list[str]:
    return [
        "| Value | Examples |",
        "|---|---|",
        "| `N` | 200, 10k, 1.5M |",
        "| `DURATION` | 500ms, 10s, 3m, 1h30m, 1.5s |",
        "| `SECONDS` | 20, 0.5, or a `DURATION` |",
        "| `RATE` | 5000, 5k/s, 300/m, 0.5: requests per second, minute or hour |",
        "| `FILE` | plan.yaml, or `-` for standard input, which only one option can read |",
        "",
    ]


def _flag_table(title: str, options: list[Option]) -> Iterator[str]:
    yield from (f"## {title}", "", "| Flag | Meaning | Default | Variable |", "|---|---|---|---|")
    for option in options:
        value = f" {option.metavar}" if option.metavar else ""
        flags = ", ".join(f"`{flag}`" for flag in option.flags[:-1])
        names = f"{flags}, `{option.long_flag}{value}`" if flags else f"`{option.long_flag}{value}`"
        yield (
            f"| {_cell(names)} | {_cell(option.help)} | {_cell(option.default_text)} "
            f"| `{option.environment_variable}` |"
        )
    yield ""


def _field_table(title: str, options: list[Option]) -> Iterator[str]:
    yield from (f"## {title}", "", "| Field | Value | Meaning | Default |", "|---|---|---|---|")
    for option in options:
        if option.plan_keys:
            yield (
                f"| {', '.join(f'`{key}`' for key in option.plan_keys)} | {_cell(_field_value(option))} "
                f"| {_cell(option.help)} | {_cell(option.default_text)} |"
            )
    yield ""


def _field_value(option: Option) -> str:
    if option.is_switch:
        return "true or false"
    if option.pair_separator:
        metavar = option.metavar.strip("'")
        return f"fields, or a list of `{metavar}`"
    value = f"`{option.metavar}`"
    return f"{value}, or a list" if option.is_list or option.separator else value


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _meaning(code: ExitCode) -> str:
    """Return the comment beside a code's definition, or words for the codes that have none."""
    tokens = tokenize.generate_tokens(io.StringIO(inspect.getsource(ExitCode)).readline)
    comments = {
        token.line.split("=")[0].strip(): token.string for token in tokens if token.type == tokenize.COMMENT
    }
    text = (
        comments.get(code.name, "").lstrip("# ")
        or {
            ExitCode.OK: "the command did what was asked",
            ExitCode.INTERRUPTED: "interrupted by SIGINT (Ctrl-C)",
            ExitCode.HUNG_UP: "ended by SIGHUP: its terminal was closed",
            ExitCode.TERMINATED: "ended by SIGTERM",
        }[code]
    )
    return f"{text[0].upper()}{text[1:]}."


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
