"""A command as a process: its standard streams, Ctrl-C, the line that tells an error, and the exit code."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import click

from heyfleet import console
from heyfleet.cli import standard_streams
from heyfleet.errors import ExitCode, HeyfleetError
from heyfleet.surroundings import translate


def run_process(command: Callable[[], int]) -> int:
    """Return the exit code of the process whose work is `command`. This is the only place that prints an error."""
    try:
        with _interruptible():
            standard_streams.prepare()
            return _exit_code(command)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt within the context. Outside, it ends the process without a traceback."""
    outside = signal.getsignal(signal.SIGINT)
    if outside == signal.SIG_DFL:  # see __main__.py; a program that calls `main` keeps its own handler
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.unraisablehook = _raise_again
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, outside)


def _raise_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Repeat a Ctrl-C that arrived where Python drops exceptions, such as in a callback of its import system."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        threading.Timer(0.001, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(unraisable)


def _exit_code(command: Callable[[], int]) -> int:
    try:
        try:
            return command()
        finally:
            sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        console.write_stderr(error.format_message().splitlines())
        return error.exit_code
    except click.ClickException as error:
        console.error(_message(error))
        return error.exit_code
    except click.Abort:
        return ExitCode.INTERRUPTED
    except Exception as error:
        if os.environ.get("HEYFLEET_DEBUG") == "1" and not isinstance(error, HeyfleetError):
            raise
        if _is_interrupt(error):
            return ExitCode.INTERRUPTED
        known = translate(error)
        console.error(str(known) if known else f"{fault(error)} (HEYFLEET_DEBUG=1 shows where)")
        return known.exit_code if known else ExitCode.FAULT


def _is_interrupt(error: BaseException | None) -> bool:
    """Return whether Ctrl-C is behind an error: Python itself wraps it in some places, as when a class is made."""
    while error is not None and not isinstance(error, HeyfleetError | KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return isinstance(error, KeyboardInterrupt)


def fault(error: BaseException) -> str:
    """Return the text for an error that only a fault of heyfleet explains."""
    return f"fault: {type(error).__name__}: {error}"


def _message(error: click.ClickException) -> str:
    """Return one line that names the flag as it was typed."""
    if isinstance(error, click.NoSuchOption | click.exceptions.NoSuchCommand):
        return f"{error.format_message().rstrip('.')}; try heyfleet run [flags] URL, or heyfleet -h"
    if isinstance(error, click.MissingParameter) and error.param:
        name = (
            error.param.human_readable_name
            if isinstance(error.param, click.Argument)
            else error.param.opts[0]
        )
        return f"{name} is missing; --help shows all arguments"
    if isinstance(error, click.BadParameter) and error.param:
        from heyfleet.cli.go_flags import spelling

        return f"{spelling(error)}: {error.message}"
    return error.format_message()
