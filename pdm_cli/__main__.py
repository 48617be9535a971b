"""Run the command line as ``python -m pdm_cli``, the form that jobs and scripts use."""

import os
import signal
import sys

from pdm_cli.errors import EXIT_INTERRUPTED


def main() -> None:
    """Run the command line; imported late, for worker processes import this module and need no command line."""
    # A stream that the caller has closed takes and gives nothing, and is no reason to fail. In this order, the lowest
    # number first, each gets its own again, which else the next file would get.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_default:
        # Until the command line is there to say it: nothing has been begun yet.
        signal.signal(signal.SIGINT, _leave)
    from pdm_cli.cli.app import main as run

    if is_default:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


def _leave(*_: object) -> None:
    sys.stderr.write("warning: interrupted; nothing was begun\n")
    sys.stderr.flush()
    os._exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
