"""Going on through errors that pass: a server in trouble, a dropped connection, too many requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from pdm_cli.errors import TryAgain

# Seconds of nothing but errors after which one gives up.
PATIENCE_SECONDS = 15 * 60.0
# Among the details of an error that passes: the seconds after which one may ask again.
RETRY_AFTER = "retry_after_seconds"
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0

_Result = TypeVar("_Result")


def insist(
    call: Callable[[], _Result],
    *,
    warn: Callable[[str], None],
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> _Result:
    """Return what ``call`` returns; call it again, later and later, while it raises an error that may pass.

    Parameters
    ----------
    call : callable
        Without arguments; may be begun anew at any time.
    warn : callable
        Told once, at the first error.
    sleep, clock : callable
        In seconds.

    Raises
    ------
    TryAgain
        The last error, after a quarter of an hour of nothing but errors.
    """
    start, pause = clock(), _FIRST_PAUSE
    while True:
        try:
            return call()
        except TryAgain as error:
            if clock() - start + pause > PATIENCE_SECONDS:
                raise
            if pause == _FIRST_PAUSE:
                warn(f"{error.message}; trying again")
        sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
