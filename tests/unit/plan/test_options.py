"""The table of options: complete, free of contradictions, and the same whichever way an option is set."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from click.testing import CliRunner

from heyfleet.cli.main import main
from heyfleet.cli.run import planned, run_command
from heyfleet.errors import InputError
from heyfleet.plan.option_types import Option
from heyfleet.plan.options import (
    OPTIONS,
    RunOptions,
    environment_texts,
    find_option,
    make_options,
    options_from_texts,
)
from heyfleet.proto.plan_pb2 import RATE, Plan

URL = "http://localhost/"
# The flags of hey 0.1.4.
HEYS_FLAGS = (
    "n c q z o m t A d D T U a x h2 H disable-compression disable-keepalive disable-redirects cpus host"
)


def plan_from(*args: str) -> Plan:
    run = run_command(lambda: pytest.fail("no agent is needed"), lambda *_: pytest.fail("no fleet is needed"))
    return planned(run, list(args))[0]


def test_every_field_of_run_options_is_declared_once() -> None:
    declared = [option.field for option in OPTIONS]
    assert len(set(declared)) == len(declared)
    assert set(declared) == {field.name for field in dataclasses.fields(RunOptions)} - {
        "url",
        "request_specs",
    }


def test_declared_defaults_are_those_of_the_record() -> None:
    options = RunOptions()
    assert {option.field: option.default for option in OPTIONS} == {
        option.field: getattr(options, option.field) for option in OPTIONS
    }


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.field)
def test_a_declaration_is_complete(option: Option) -> None:
    assert option.long_flag.startswith("--")
    assert len(option.name) > 1
    assert option.help.endswith((".", ".)"))
    assert option.section
    assert option.is_switch == (not option.metavar)
    assert option.plan_key or option.field == "plan_file"


def test_every_flag_of_hey_is_there() -> None:
    assert [name for name in HEYS_FLAGS.split() if find_option(name) is None] == []


@pytest.mark.parametrize("name", ["-n", "--requests", "requests", "count"])
def test_an_option_is_found_by_each_of_its_names(name: str) -> None:
    option = find_option(name)
    assert option is not None
    assert option.field == "requests"


def test_environment_variables_are_unique_and_free() -> None:
    variables = [option.environment_variable for option in OPTIONS]
    assert len(set(variables)) == len(variables)
    taken = {"HEYFLEET_RUNS", "HEYFLEET_DEBUG", "HEYFLEET_HOME", "HEYFLEET_JOIN_TOKEN", "HEYFLEET_CA_PEM"}
    assert taken & set(variables) == set()


def test_texts_become_options() -> None:
    options = options_from_texts({"requests": "10k", "H": ["A: 1", "B: 2"], "disable_keepalive": True}, URL)
    assert options == RunOptions(
        url=URL, requests=10_000, headers=(("A", "1"), ("B", "2")), disable_keepalive=True
    )


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"requets": "5"}, "requets: there is no such option; did you mean requests"),
        ({"n": "5", "requests": "5"}, "requests: --requests is given twice"),
        ({"rate": "fast"}, "rate: 'fast' is not a rate"),
        ({"rate": True}, "rate: a value is missing"),
        ({"rate": ["1", "2"]}, "rate: only one value is possible"),
        ({"catch-up": "perhaps"}, "catch-up: 'perhaps' is neither true nor false"),
        ({"output": "csv", "json": True}, "-o csv and --json exclude each other"),
    ],
)
def test_bad_texts(texts: dict[str, str | bool | list[str]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        options_from_texts(texts, URL)


def test_json_is_short_for_an_output_format() -> None:
    assert make_options(URL, {"json": True}) == make_options(URL, {"output": "json"})


def test_the_environment_gives_texts_of_options() -> None:
    environment = {
        "HEYFLEET_REQUESTS": "10k",
        "HEYFLEET_HEADER": "A: 1\nB: 2\n",
        "HEYFLEET_DISABLE_KEEPALIVE": "1",
        "HEYFLEET_DISABLE_REDIRECTS": "false",
        "HEYFLEET_RATE": "",
        "HEYFLEET_RUNS": "elsewhere",
    }
    assert environment_texts(environment) == {
        "requests": "10k",
        "headers": ["A: 1", "B: 2"],
        "disable_keepalive": True,
        "disable_redirects": False,
    }


def test_a_bad_variable_is_named() -> None:
    with pytest.raises(InputError, match="HEYFLEET_CONNECTIONS: 'many' is not a whole number"):
        environment_texts({"HEYFLEET_CONNECTIONS": "many"})


def test_flags_override_variables_and_variables_override_the_plan_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(f"url: {URL}\nrate: 1\nconnections: 2\nduration: 3s\n")
    monkeypatch.setenv("HEYFLEET_CONNECTIONS", "20")
    monkeypatch.setenv("HEYFLEET_DURATION", "30s")
    plan = plan_from("-f", str(file), "-z", "300s")
    assert (plan.load_model, plan.stages[0].first) == (RATE, 1)
    assert (plan.connections, plan.duration_ns) == (20, 300_000_000_000)


def test_a_variable_names_the_plan_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(f"url: {URL}\nrequests: 7\n")
    monkeypatch.setenv("HEYFLEET_PLAN", str(file))
    assert plan_from().request_count == 7
    assert plan_from("-n", "8").request_count == 8


def test_a_flag_turns_a_switch_of_the_plan_file_off(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(f"url: {URL}\ndisable-keepalive: true\n")
    assert plan_from("-f", str(file)).disable_keepalive
    assert not plan_from("-f", str(file), "-disable-keepalive=false").disable_keepalive


@pytest.mark.parametrize("args", [["-n", "10k"], ["--requests", "10k"], ["-requests=10000"]])
def test_short_and_long_flags_are_the_same(args: list[str]) -> None:
    assert plan_from(*args, URL).request_count == 10_000


def test_an_error_names_the_flag_as_it_was_typed() -> None:
    shown = CliRunner().invoke(main, ["run", "--requests", "none", URL])
    assert shown.exit_code == 2
    assert shown.stderr.startswith("heyfleet: --requests: 'none' is not a whole number")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("heyfleet ru", "run"),
        ("heyfleet run --requ", "--requests"),
        ("heyfleet run --io ep", "epoll"),
        ("heyfleet run -n 5 --arrivals p", "poisson"),
    ],
)
def test_the_shell_completes_words(words: str, expected: str) -> None:
    environment = {
        "_HEYFLEET_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = CliRunner().invoke(main, [], env=environment, prog_name="heyfleet")
    assert f"plain,{expected}\n" in done.output


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0
    assert "_HEYFLEET_COMPLETE" in done.output


def test_plan_fields_are_those_of_the_message() -> None:
    fields = [option.plan_field for option in OPTIONS if option.plan_field]
    assert [name for name in fields if name not in Plan.DESCRIPTOR.fields_by_name] == []
    assert len(set(fields)) == len(fields)
