"""The program: `heyfleet`, or `python -m heyfleet`."""

import signal


def program() -> None:
    """Run the command line."""
    # Python would answer Ctrl-C during the imports with a traceback. There is nothing to clean up yet, so let the signal
    # end the process; the command line takes it over as soon as it runs.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from heyfleet.cli.main import main

    main(prog_name="heyfleet")


if __name__ == "__main__":
    program()
