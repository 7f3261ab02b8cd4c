"""Retired words stay retired: the table at the end of STYLE.md lists them, and nothing else may use them."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.test_tidy import ROOT, own_files

# STYLE.md lists the words, the changelog tells what was renamed, and archives from before the renaming are still read.
EXEMPT = re.compile(
    r"STYLE\.md|CHANGELOG\.md|tests/test_words\.py|.*\b(?:migration|archive[-_]v1)\b.*|.*test_migration\.py"
)
CYTHON = (".pyx", ".pxi", ".pxd", ".proto")
HEADING = "## Retired words"
BACKTICKED = re.compile(r"`([^`]+)`")
NAME = re.compile(r"[A-Za-z_]\w*")
# Strings and comments of Cython and of the schema, so that only names are left.
NOT_CODE = re.compile(
    r'"""(?:.|\n)*?"""|\'\'\'(?:.|\n)*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#.*|//.*'
)


class Words(NamedTuple):
    """Retired words by where they are retired."""

    identifiers: frozenset[str]
    phrases: frozenset[str]  # neither in names nor in prose


def retired_words(page: str) -> Words:
    """Read the table below `## Retired words`; its columns are the word, its replacement and where it is retired."""
    _, _, section = page.partition(f"\n{HEADING}\n")
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    wrong = [row for row in rows if len(row) != 3 or row[2].strip() not in ("identifiers", "everywhere")]
    if not rows or wrong:
        raise ValueError(
            f"STYLE.md: the table of retired words is missing, or has rows of another form: {wrong}"
        )
    words = [(word, row[2].strip()) for row in rows for word in BACKTICKED.findall(row[0])]
    return Words(
        frozenset(word for word, where in words if where == "identifiers"),
        frozenset(word for word, where in words if where == "everywhere"),
    )


def identifiers(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Line and text of each name in a source file; words in strings and comments are not names."""
    if name.endswith((".py", ".pyi")):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME:
                yield token.start[0], token.string
        return
    blank = NOT_CODE.sub(lambda match: "\n" * match[0].count("\n"), text)
    for number, line in enumerate(blank.split("\n"), 1):
        for match in NAME.finditer(line):
            yield number, match[0]


def phrases_in(text: str, phrases: frozenset[str]) -> list[str]:
    """The phrases that a text has as whole words, in any case, also across a line break."""
    patterns = {phrase: r"\s+".join(map(re.escape, phrase.split())) for phrase in phrases}
    return sorted(phrase for phrase, each in patterns.items() if re.search(rf"(?i)\b{each}\b", text))


def offenses(words: Words, files: Iterator[tuple[str, str]]) -> list[str]:
    """Each retired word that is used, with its file, and with its line where it is a name."""
    offending = []
    for name, text in files:
        if EXEMPT.fullmatch(name):
            continue
        if Path(name).suffix in {".py", ".pyi", *CYTHON}:
            names = identifiers(name, text)
            offending += [f"{name}:{line}: {word}" for line, word in names if word in words.identifiers]
        offending += [f"{name}: {part}" for part in Path(name).parts if Path(part).stem in words.identifiers]
        offending += [f"{name}: {phrase}" for phrase in phrases_in(text, words.phrases)]
    return offending


def test_no_retired_word_is_used() -> None:
    style = ROOT / "STYLE.md"
    if not style.exists():
        pytest.skip("there is no STYLE.md to read the words from")
    assert offenses(retired_words(style.read_text()), own_files()) == []


PAGE = """# Style

## Retired words

| retired | use instead | where |
|---|---|---|
| `HeldRuns`, `Held` | `HeldRun` | identifiers |
| `not told` | inconclusive | everywhere |
"""
WORDS = Words(frozenset({"HeldRuns", "Held"}), frozenset({"not told"}))


def test_the_table_is_read() -> None:
    assert retired_words(PAGE) == WORDS


@pytest.mark.parametrize(
    "page", ["# Style\n", PAGE.replace("identifiers", "code"), PAGE.replace(" | everywhere", "")]
)
def test_a_table_of_another_form_is_an_error(page: str) -> None:
    with pytest.raises(ValueError, match="table of retired words"):
        retired_words(page)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.py", "class Held: ...\n", ["a.py:1: Held"]),
        ("a.py", "x = 'Held'  # Held\n\n\ndef f():\n    '''Held.'''\n    return Held\n", ["a.py:6: Held"]),
        ("a.py", "class HeldRun: ...\nHelden = held = 1\n", []),
        ("a.pxi", "# Held\ncdef class A:\n    '''A\n    Held.'''\n    cdef Held x\n", ["a.pxi:5: Held"]),
        ("a.proto", "// Held\nmessage Held {}\n", ["a.proto:2: Held"]),
        ("a.md", "It is Held, but not\ntold.\n", ["a.md: not told"]),
        ("a.py", "'''Not told: too few.'''\n", ["a.py: not told"]),
        ("a.md", "It is not toldable.\n", []),
        ("Held/a.txt", "", ["Held/a.txt: Held"]),
        ("STYLE.md", PAGE, []),
    ],
)
def test_offenses(name: str, text: str, expected: list[str]) -> None:
    assert offenses(WORDS, iter([(name, text)])) == expected
