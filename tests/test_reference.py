"""The generated reference pages and the keywords of the Python API are those that the code would generate now."""

from __future__ import annotations

import importlib.util
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from heyfleet.errors import ExitCode
from heyfleet.plan.options import OPTIONS
from heyfleet.plan.plan_file import load

ROOT = Path(__file__).parent.parent


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts/reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()


@pytest.mark.parametrize("path", GENERATOR.pages(), ids=lambda path: path.name)
def test_a_page_is_current(path: Path) -> None:
    assert path.read_text() == GENERATOR.pages()[path], "run python scripts/reference.py"


def test_the_example_of_a_plan_file_can_be_used(tmp_path: Path) -> None:
    page = (ROOT / "docs/reference/plan-file.md").read_text()
    example = page[page.index("    url:") :].split("\n\n")[0]
    file = tmp_path / "plan.yaml"
    file.write_text(textwrap.dedent(example))
    assert [request["name"] for request in load(str(file)).requests] == ["home", "log in"]


def test_the_pages_have_every_option_and_exit_code() -> None:
    flags, plan_file, exit_codes, _ = GENERATOR.pages().values()
    for option in OPTIONS:
        assert f"`{option.environment_variable}`" in flags
        assert not option.plan_key or f"`{option.plan_key}`" in plan_file
    for code in ExitCode:
        assert f"| {code.value} | `{code.name}` |" in exit_codes
