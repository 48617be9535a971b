"""Run the command line as ``python -m pdm_cli``, the form that jobs and scripts use."""

import os
import signal
import sys

from pdm_cli.errors import EXIT_INTERRUPTED


def main() -> None:
    """Run the command line, imported late because worker processes import this module too."""
    # A closed standard stream is not an error. Reopened in this order, each gets its own file descriptor again, which
    # would otherwise go to the next opened file.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_default:
        # Until the command line, which reports interrupts itself, is imported.
        signal.signal(signal.SIGINT, _leave)
    from pdm_cli.cli.app import main as run

    if is_default:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


def _leave(*_: object) -> None:
    sys.stderr.write("warning: interrupted; nothing was started\n")
    sys.stderr.flush()
    os._exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
