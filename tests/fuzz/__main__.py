"""One fuzzer, for a time:  python -m tests.fuzz TARGET CORPUS [libFuzzer's flags]. `make fuzz` builds and runs all of them."""

from __future__ import annotations

import os
import sys
from hashlib import sha1
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["heyfleet"]):
    from .targets import TARGETS, seeds


def main() -> None:
    """Write the seeds, then run until libFuzzer ends the process."""
    name, corpus, *flags = sys.argv[1:]
    Path(corpus).mkdir(parents=True, exist_ok=True)
    for seed in seeds(name):
        Path(corpus, sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    # To merge corpora libFuzzer starts itself again and again, by this name.
    itself = os.environ.get("FUZZER", sys.argv[0])
    atheris.Setup([itself, corpus, *flags], TARGETS[name])
    atheris.Fuzz()


main()
