"""The tree of errors: drawn as it is, and everything that a person can see is in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from heyfleet import errors
from heyfleet.errors import HeyfleetError, InputError

ROOT = Path(__file__).parents[3]
FOLDERS = ("agent", "cli", "controller", "deploy", "plan", "results")
# Raised and caught within heyfleet: they steer code or become a line of a report, and nobody sees them.
INTERNAL = {
    "Interrupted",  # a KeyboardInterrupt that came before the load began
    "InvalidSnapshotError",  # becomes the reason of an acknowledgement, and a line of the report
    "TargetsError",  # names a line; `load` adds the file and makes it an InputError
    "TemplateError",  # names a placeholder; its caller adds the option
}


def exception_classes() -> Iterator[tuple[str, list[str], str]]:
    """Name, bases and file of every class in the product that is named like an error or derives from one."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    bases = [ast.unparse(base) for base in node.bases]
                    if any(re.search(r"(Error|Exception|Interrupt)$", base) for base in bases):
                        yield node.name, bases, str(path.relative_to(ROOT))


def test_the_drawing_shows_every_error_with_its_exit_code() -> None:
    drawn = dict(re.findall(r"(\w+Error) +(\d)  ", errors.__doc__ or ""))
    defined = {
        name: str(int(value.exit_code))
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, HeyfleetError)
    }
    assert drawn == defined


def test_errors_that_people_see_belong_to_the_tree() -> None:
    classes = list(exception_classes())
    tree = {"HeyfleetError", "InputError", "CannotStartError", "DeployError"}
    while more := {name for name, bases, _ in classes if name not in tree and tree & set(bases)}:
        tree |= more
    outside = {
        f"{path}: {name}"
        for name, _, path in classes
        if name not in tree | INTERNAL and not name.startswith("_")
    }
    assert outside == set()


def test_an_error_is_its_cause_and_its_cure() -> None:
    error = InputError("the port is 0", "use 1 to 65535")
    assert (str(error), error.cause, error.cure) == (
        "the port is 0; use 1 to 65535",
        "the port is 0",
        "use 1 to 65535",
    )
    assert str(InputError("alone")) == "alone"
