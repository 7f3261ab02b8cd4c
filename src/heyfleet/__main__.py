"""The program: `heyfleet`, or `python -m heyfleet`."""

# The signal module without its enums, whose import is a large part of the time before the next line.
import _signal  # type: ignore[import-not-found]


def program() -> None:
    """Run the command line."""
    # Python would answer Ctrl-C during the imports with a traceback. There is nothing to clean up yet, so let the signal
    # end the process; the command line takes it over as soon as it runs.
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

    from heyfleet.cli.main import main

    main(prog_name="heyfleet")


if __name__ == "__main__":
    program()
