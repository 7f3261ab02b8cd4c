"""Runs from Python: each is made in a process of its own, so that the program's signals, event loop and GIL are left alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

from heyfleet import errors
from heyfleet.errors import HeyfleetError, InputError
from heyfleet.keywords import RunKeywords
from heyfleet.plan.keywords import texts_from_values
from heyfleet.plan.options import Text, find_option, options_from_texts, suggest
from heyfleet.result import Result
from heyfleet.text import printable

_log = logging.getLogger("heyfleet")
_COMMAND = [sys.executable, "-m", "heyfleet.cli.api_process"]
# What the API names better than the command line, and what only the command line can do.
_RENAMED = {"headers": "header", "data": "body", "data_file": "data"}
_COMMAND_ONLY = {"output", "json", "out", "no-archive", "quiet", "repeat", "find-max", "dry-run"}


def run(url: str = "", *, out: str | PathLike[str] | None = None, **options: Unpack[RunKeywords]) -> Result:
    """Make a run, wait for its end and return its result.

        heyfleet.run("http://localhost:8080/", requests=10_000, connections=100)
        heyfleet.run(URL, rate="5k/s", duration=30, headers={"Accept": "text/plain"}, slo="p99<50ms")
        heyfleet.run(URL, method="POST", json={"a": 1})

    Options are those of `heyfleet run`, with `_` for `-`; hey's short names work too. Durations are seconds (int or
    float), a timedelta, or a text such as "1m30s". `json` is sent as JSON; `data` is sent as it is, text as UTF-8. The
    archive is written to `out`, or else to a temporary folder that is removed with the result.

    Raises InputError for options that can't be used, CannotStartError if the run can't begin, and TypeError for unknown
    keywords. A load that did not go well is a result: see `Result.ok` and `Result.exit_code`.
    """
    with _Archive(out) as archive:
        process = subprocess.run(
            _COMMAND, input=_request(url, options, archive.folder), capture_output=True, check=False
        )
        return archive.result(process.stdout, process.stderr, process.returncode)


async def arun(
    url: str = "", *, out: str | PathLike[str] | None = None, **options: Unpack[RunKeywords]
) -> Result:
    """Make a run like `run` does, without blocking the event loop. Cancelling it stops the load at once."""
    with _Archive(out) as archive:
        request = _request(url, options, archive.folder)
        pipe = subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*_COMMAND, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            stdout, stderr = await process.communicate(request)
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            await process.wait()
            raise
        return archive.result(stdout, stderr, process.returncode or 0)


def load(folder: str | PathLike[str] = "") -> Result:
    """Return an archived run by its folder, or by its name in the folder of runs; without a name, the latest.

    Raises InputError.
    """
    return Result(folder)


class _Archive:
    """The folder of a run's archive: the caller's, or a temporary one that lives as long as the result."""

    def __init__(self, out: str | PathLike[str] | None) -> None:
        self._temporary: Path | None = None
        if out is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="heyfleet-"))
            out = self._temporary / "run"
        self.folder = Path(out)
        self._result: Result | None = None

    def __enter__(self) -> _Archive:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._temporary is not None and self._result is None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def result(self, stdout: bytes, stderr: bytes, returncode: int) -> Result:
        """Return the result that the process announced, or raise its error."""
        result = Result(self.folder, exit_code=_exit_code(stdout, stderr, returncode))
        if self._temporary is not None:
            weakref.finalize(result, shutil.rmtree, self._temporary, ignore_errors=True)
        self._result = result
        return result


def _request(url: str, options: Mapping[str, Any], folder: Path) -> bytes:
    """Return the request for the process. Raises InputError and TypeError."""
    texts = _texts(options)
    # Bad values are found here, without a process; conflicts and files only with all sources of options.
    options_from_texts({name: text for name, text in texts.items() if name != "plan"}, url)
    return json.dumps({"url": url, "texts": texts, "folder": str(folder.absolute())}).encode()


def _texts(options: Mapping[str, Any]) -> dict[str, Text]:
    """Return the options' texts by their long names."""
    values = dict(options)
    if "json" in values and values["json"] is not None:
        if values.keys() & {"data", "d", "body"}:
            raise InputError("json and data exclude each other")
        values["data"] = json.dumps(values.pop("json"), ensure_ascii=False)
        values.setdefault("content_type", "application/json")
    named: dict[str, Any] = {}
    for keyword, value in values.items():
        option = find_option(_RENAMED.get(keyword, keyword))
        if option is None or option.name in _COMMAND_ONLY:
            known = sorted(RunKeywords.__annotations__)
            raise TypeError(
                f"run() got an unexpected keyword argument {keyword!r}; {suggest(keyword, known)}"
            )
        if option.name in named:
            raise TypeError(f"run() got {keyword!r} and another name of {option.name!r}")
        named[option.name] = value
    return texts_from_values(named)


def _exit_code(stdout: bytes, stderr: bytes, returncode: int) -> int:
    """Return the exit code of the run from the messages of its process, or raise the error that they tell."""
    for line in stdout.decode().splitlines():
        message = json.loads(line)
        match message["type"]:
            case "warning":
                _log.warning("%s", printable(message["text"]))
            case "finished":
                return int(message["exit_code"])
            case "error" if message["classes"] == ["KeyboardInterrupt"]:
                raise KeyboardInterrupt
            case "error":
                known = (getattr(errors, name, None) for name in message["classes"])
                raise next(filter(None, known), HeyfleetError)(message["cause"], message["cure"])
    lines = stderr.decode(errors="replace").strip().splitlines() or [f"exit code {returncode}"]
    raise HeyfleetError(f"the process of the run ended early: {lines[-1]}")
