"""The engine stays composed: short chains of inheritance and small classes."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

EXT = Path(__file__).parents[3] / "ext"
CLASS = re.compile(r"^cdef class (\w+)(?:\((\w+)\))?:")
METHOD = re.compile(r"^    (?:cdef|cpdef|def)\b(?!\s+(?:struct|enum)\b)[^=]*?\w\(")
CHAIN_AT_MOST = 2
METHODS_AT_MOST = 40


def classes() -> tuple[dict[str, str], Counter[str]]:
    """The base of each class of the engine ("" if it has none), and its number of methods."""
    bases: dict[str, str] = {}
    methods: Counter[str] = Counter()
    for path in EXT.rglob("*.pxi"):
        current = ""
        for line in path.read_text().splitlines():
            if match := CLASS.match(line):
                current = match[1]
                bases[current] = match[2] or ""
            elif line and not line[0].isspace() and line[0] not in "#@)":
                current = ""
            elif current and METHOD.match(line):
                methods[current] += 1
    return bases, methods


def chain(name: str, bases: dict[str, str]) -> list[str]:
    found = [name]
    while base := bases.get(found[-1], ""):
        found.append(base)
    return found


def test_chains_of_inheritance_are_short() -> None:
    bases, _ = classes()
    chains = [chain(name, bases) for name in bases]
    assert len(chains) > 20
    assert [each for each in chains if len(each) > CHAIN_AT_MOST and each[-1] != "Io"] == []


def test_classes_are_small() -> None:
    _, methods = classes()
    assert methods["Lifecycle"] > 20
    assert {name: count for name, count in methods.items() if count > METHODS_AT_MOST} == {}
