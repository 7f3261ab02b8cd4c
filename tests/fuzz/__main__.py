"""Run one fuzz target:  python -m tests.fuzz TARGET CORPUS [FLAGS OF LIBFUZZER]. `make fuzz` builds and runs all."""

from __future__ import annotations

import os
import sys
from hashlib import sha1
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["heyfleet"]):
    from .targets import TARGETS, seeds


def main() -> None:
    """Write the seeds, then fuzz until libFuzzer ends the process."""
    name, corpus, *flags = sys.argv[1:]
    Path(corpus).mkdir(parents=True, exist_ok=True)
    for seed in seeds(name):
        Path(corpus, sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    # libFuzzer restarts itself by this name when it merges corpora.
    program = os.environ.get("FUZZER", sys.argv[0])
    atheris.Setup([program, corpus, *flags], TARGETS[name])
    atheris.Fuzz()


main()
