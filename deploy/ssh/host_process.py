"""A process whose far end runs host.sh: what host.sh prints between its marks, and nothing that others print."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import selectors
import shlex
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from heyfleet.errors import DeployError

_MAX_OUTPUT_BYTES = 8 << 20
_MAX_FOREIGN_BYTES = 4096  # of what others print, the end is kept for error texts
_MAX_LINE_LENGTH = 1000
_PIECE_BYTES = 1 << 16
_LINGER_S = 1.0  # for ssh to close the connection by itself
_END_WAIT_S = 10.0


class HostError(DeployError):
    """A step on a host failed, with the line that the host or ssh printed."""


@cache
def boot_command() -> str:
    """Return the command for a host's login shell, of whatever kind, that runs the script which follows on stdin."""
    lines = Path(__file__).with_name("boot.sh").read_text().splitlines()
    return next(line for line in lines if not line.startswith("#"))


@cache
def _host_script() -> str:
    return Path(__file__).with_name("host.sh").read_text()


class _Output:
    """One of a process's two outputs: what host.sh printed, and the end of what others printed before it."""

    def __init__(self, mark: str) -> None:
        self._begin = f"{mark} begin\n".encode()
        self._end = re.compile(rb"%b end ([0-9]+)\n" % mark.encode())
        self._size_bytes = 0
        self.data = bytearray()
        self.has_begun = False
        self.status: int | None = None
        """The exit code of host.sh, once all of its output is here."""

    def add(self, piece: bytes) -> None:
        """Take what arrived. Raises HostError if it is too much."""
        self._size_bytes += len(piece)
        if self._size_bytes > _MAX_OUTPUT_BYTES:
            raise HostError(f"it prints more than {_MAX_OUTPUT_BYTES >> 20} MiB: {self.line()[-200:]}")
        if self.status is not None:
            return
        begin = max(0, len(self.data) - _PIECE_BYTES)  # a mark may arrive in pieces
        self.data += piece
        if not self.has_begun:
            before, mark, after = self.data.partition(self._begin)
            self.has_begun = bool(mark)
            self.data = after if mark else before[-_MAX_FOREIGN_BYTES:]
            begin = 0
        if self.has_begun and (end := self._end.search(self.data, begin)):
            self.status = int(end[1])
            del self.data[end.start() :]

    def line(self) -> str:
        """Return the end of what is here as one line, without the warnings that ssh frames with asterisks."""
        lines = [line.strip() for line in self.data.decode(errors="replace").splitlines()]
        text = " ".join(line for line in lines if line and not line.startswith("** "))
        return text[-_MAX_LINE_LENGTH:]


class HostProcess:
    """A context manager around the process; at its end the process ends, too.

    Once host.sh has said its last word nothing more is waited for: what a login shell leaves running may hold the
    connection open for ever.
    """

    def __init__(
        self,
        command: Sequence[str],
        words: Sequence[str],
        environment: Mapping[str, str],
        stdin: Iterable[bytes] = (),
        *,
        holds_stdin: bool = False,
    ) -> None:
        """Start `command`, which must run `boot_command`, and have host.sh carry out `words`.

        `environment` is for host.sh, and `stdin` what it reads. With `holds_stdin`, stdin ends with this process,
        however that ends, and Ctrl-C does not end the command. Raises HostError.
        """
        mark = f"heyfleet-{secrets.token_hex(8)}"
        exports = [f"{name}={shlex.quote(value)}; export {name}\n" for name, value in environment.items()]
        script = "".join([*exports, f"mark={mark}\n", f"set -- {shlex.join(words)}\n", _host_script()])
        self._stdin = self._pieces(script.encode(), stdin)
        self._piece = memoryview(b"")
        self._holds_stdin = holds_stdin
        self.stdout, self.stderr = _Output(mark), _Output(mark)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=holds_stdin,
            )
        except FileNotFoundError:
            raise HostError(
                f"there is no command {command[0]} on this host", "install the OpenSSH client"
            ) from None
        self._selector = selectors.DefaultSelector()
        for pipe, events, take in (
            (self._process.stdin, selectors.EVENT_WRITE, None),
            (self._process.stdout, selectors.EVENT_READ, self.stdout.add),
            (self._process.stderr, selectors.EVENT_READ, self.stderr.add),
        ):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, events, take)

    @staticmethod
    def _pieces(script: bytes, stdin: Iterable[bytes]) -> Iterator[bytes]:
        yield script
        yield from stdin

    def has_begun(self, timeout_s: float) -> bool:
        """Wait until host.sh has begun; return False if the process ended before. Raises HostError after the time."""
        self._pump(lambda: self.stdout.has_begun, timeout_s)
        return self.stdout.has_begun

    def output(self, timeout_s: float) -> str:
        """Wait until host.sh has ended, and return what it printed. Raises HostError, also if it failed.

        The time starts anew with whatever this side sends.
        """
        self._pump(lambda: self.stdout.status is not None and self.stderr.status is not None, timeout_s)
        if self.stdout.status is None:
            raise HostError(
                f"the connection ended in the middle: {self.stderr.line() or 'ssh printed nothing'}"
            )
        if self.stdout.status:
            raise HostError(self.stderr.line() or f"exit code {self.stdout.status}")
        return self.stdout.data.decode(errors="replace")

    def drain(self) -> None:
        """Wait until the process ends, and forget what it prints: a full pipe would stop it."""
        for key in list(self._selector.get_map().values()):
            self._selector.modify(key.fileobj, key.events, lambda piece: None)
        self._pump(lambda: False, None)

    def exit_code(self, wait_s: float = _END_WAIT_S) -> int | None:
        """Return the process's exit code, or None if it runs on although its outputs have ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(wait_s)
        return None

    def _pump(self, is_done: Callable[[], bool], timeout_s: float | None) -> None:
        """Move bytes until `is_done`, or until both outputs have ended."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        pipes = {self._process.stdout, self._process.stderr}
        while not is_done() and any(key.fileobj in pipes for key in self._selector.get_map().values()):
            wait_s = None if deadline_s is None else deadline_s - time.monotonic()
            if wait_s is not None and wait_s <= 0:
                raise HostError(f"no response within {timeout_s:g} s")
            for key, _ in self._selector.select(wait_s):
                if key.fileobj is self._process.stdin:
                    self._write()
                    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
                elif piece := os.read(key.fd, _PIECE_BYTES):
                    key.data(piece)
                else:
                    self._selector.unregister(key.fileobj)

    def _write(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        if not self._piece:
            self._piece = memoryview(next(self._stdin, b""))
        if self._piece:
            try:
                self._piece = self._piece[os.write(pipe.fileno(), self._piece) :]
                return
            except BrokenPipeError:
                pass  # its outputs say why
        self._selector.unregister(pipe)
        if not self._holds_stdin:
            pipe.close()

    def terminate(self) -> None:
        """End the process, from any thread."""
        with contextlib.suppress(OSError):
            self._process.terminate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        if kind is not None or self.exit_code(_LINGER_S) is None:
            self.terminate()
        if self.exit_code() is None:
            self._process.kill()
            self._process.wait()
