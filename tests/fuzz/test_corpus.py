"""Run every input of the corpora, which failed once or reaches deep into the code, without a fuzzer."""

from __future__ import annotations

from pathlib import Path

import pytest

from .targets import TARGETS, seeds

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_fails(name: str) -> None:
    for seed in seeds(name):
        TARGETS[name](seed)
    paths = sorted((CORPUS / name).iterdir())
    assert paths
    for path in paths:
        try:
            TARGETS[name](path.read_bytes())
        except BaseException as error:
            error.add_note(f"the input is {path}")
            raise
