"""Hosts that run host.sh, by ssh or locally."""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from heyfleet.deploy.settings import SettingError
from heyfleet.deploy.ssh import gateway
from heyfleet.deploy.ssh.host_process import HostError, HostProcess, boot_command
from heyfleet.files import open_file

_BEGIN_TIMEOUT_S = 60.0
_STEP_TIMEOUT_S = 120.0
_PIECE_BYTES = 1 << 20
_RETRY_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
SSH_OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "LogLevel=ERROR",  # without the banners of hosts
    "RequestTTY=no",  # a terminal would echo stdin
    "RemoteCommand=none",
)
# ssh would take a leading dash for an option, and a shell in ProxyCommand would interpret the others.
_NAME = re.compile(r"""(?!-)(?!.*@-)[^\s'"`$\\;&<>|(){}*?!,#\x00-\x1f\x7f]+""")
_SSH_FAILED = 255
_QUOTED_AT_MOST = 200
# The connection was dropped before anyone was authenticated, as sshd does when too many connect at once.
_DROPPED = (
    "kex_exchange_identification",
    "ssh_exchange_identification",
    "banner exchange",
    "Connection closed by",
)
_REFUSED = (
    "open failed",
    "connect to host",
    "Could not resolve",
    "Permission denied",
    "Host key verification",
)
_CURES = {
    "Host key verification failed": "accept its key by hand once: ssh HOST",
    "Permission denied (": "ssh must get in without asking: load a key into ssh-agent, or name it in your configuration",
}


class UnreachableError(HostError):
    """A host that could not be asked: ssh did not get there, or its login shell did not run what was sent."""


class _DroppedError(UnreachableError):
    """A connection that was dropped although the host is there."""


def check_name(name: str) -> None:
    """Raise SettingError if a text can't be a host's name, whatever ssh would make of it."""
    if not _NAME.fullmatch(name):
        raise SettingError(
            f"hosts: {name!r} is not a host name", "write names as in ssh_config, addresses, or user@host"
        )


class Host:
    """A host that ssh reaches, as the user's ssh configuration says."""

    def __init__(
        self,
        name: str,
        config: str = "",
        environment: Mapping[str, str] | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`config` replaces ~/.ssh/config; `environment` is for host.sh. Raises SettingError."""
        check_name(name)
        self.name = name
        options = [word for option in SSH_OPTIONS for word in ("-o", option)]
        self._ssh = ["ssh", *options, *(["-F", config] if config else [])]
        self._environment = environment or {}
        self._sleep = sleep

    def call(self, *words: str, stdin: bytes | Path = b"") -> str:
        """Run a command of host.sh and return its output. Raises HostError with the error it printed."""
        with self.begin(words, lambda: _pieces(stdin)) as process:
            return process.output(_STEP_TIMEOUT_S)

    def begin(
        self,
        words: Sequence[str],
        stdin: Callable[[], Iterable[bytes]] = tuple,
        *,
        options: Sequence[str] = (),
        holds_stdin: bool = False,
    ) -> HostProcess:
        """Return a process in which host.sh has begun to carry out `words`. Raises UnreachableError.

        A connection that is dropped is tried again; host.sh has not begun then. `options` are for ssh.
        """
        for pause_s in _RETRY_PAUSES_S:
            try:
                return self._attempt(words, stdin(), options, holds_stdin=holds_stdin)
            except _DroppedError:
                self._sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - not all at once again
        return self._attempt(words, stdin(), options, holds_stdin=holds_stdin)

    def _attempt(
        self, words: Sequence[str], stdin: Iterable[bytes], options: Sequence[str], *, holds_stdin: bool
    ) -> HostProcess:
        command = self._command(options)
        with self._slots, contextlib.ExitStack() as stack:
            process = HostProcess(command, words, self._environment, stdin, holds_stdin=holds_stdin)
            stack.enter_context(process)
            try:
                has_begun = process.has_begun(_BEGIN_TIMEOUT_S)
            except HostError as error:
                raise UnreachableError(error.cause, error.cure) from None
            if not has_begun:
                raise _explain(process)
            stack.pop_all()
            return process

    @cached_property
    def _slots(self) -> contextlib.AbstractContextManager[object]:
        return gateway.slots(self._ssh, self.name)

    def _command(self, options: Sequence[str]) -> list[str]:
        return [*self._ssh, *options, "--", self.name, boot_command()]


class LocalHost(Host):
    """The host that this process runs on, without ssh."""

    def __init__(self) -> None:
        super().__init__("localhost")

    @cached_property
    def _slots(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def _command(self, options: Sequence[str]) -> list[str]:
        return ["sh", "-c", boot_command()]


def _pieces(stdin: bytes | Path) -> Iterator[bytes]:
    if isinstance(stdin, bytes):
        yield stdin
        return
    with open_file(stdin, "bundle") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _explain(process: HostProcess) -> UnreachableError:
    """Return why host.sh has not begun."""
    text, code = process.stderr.line(), process.exit_code()
    if code == _SSH_FAILED:
        is_dropped = any(each in text for each in _DROPPED)
        kind = (
            _DroppedError if is_dropped and not any(each in text for each in _REFUSED) else UnreachableError
        )
        cures = [cure for symptom, cure in _CURES.items() if symptom in text]
        return kind(text or "ssh printed nothing", *cures[:1])
    printed = (text or process.stdout.line() or "nothing")[-_QUOTED_AT_MOST:]
    return UnreachableError(
        f"its login shell did not run what ssh brought (exit code {code}); it printed: {printed}",
        "ssh HOST 'exec sh -c true' must work there; a restricted shell or ForceCommand prevents it",
    )


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What host.sh knows about a run on its host."""

    run: str
    is_running: bool
    agent: str
    expires_s: float
    """When it ends by this host's clock, in seconds since 1970."""
    last_line: str
    """The end of the agent's log."""


def read_status(output: str) -> list[RunStatus]:
    """Return what `status` of host.sh printed. Raises HostError."""
    runs = []
    for line in filter(None, output.split("\n")):  # a log may contain other line breaks
        try:
            run, state, agent, left_s, last_line = line.split(" ", 4)
            runs.append(RunStatus(run, state == "running", agent, time.time() + int(left_s), last_line))
        except ValueError:
            raise HostError(f"its status can't be read: {line[:_QUOTED_AT_MOST]}") from None
    return runs
