"""What fuzzers have found once, and inputs that lead far into the code, once more: without a fuzzer, in every test run."""

from __future__ import annotations

from pathlib import Path

import pytest

from .targets import TARGETS, seeds

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_breaks_it(name: str) -> None:
    for seed in seeds(name):
        TARGETS[name](seed)
    kept = sorted((CORPUS / name).iterdir())
    assert kept
    for path in kept:
        try:
            TARGETS[name](path.read_bytes())
        except BaseException as error:
            error.add_note(f"the input is {path}")
            raise
