"""Machines whose telemetry ends with a failure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pdm_cli.timestamps import US_PER_HOUR

IntArray = NDArray[np.int64]

# Later than any time; adding or subtracting a horizon does not overflow.
NEVER_US = 2**62
# With this share of machines that end with a failure, a fleet runs to failure.
RUN_TO_FAILURE_SHARE = 0.5
# A failure up to this long before the last reading may have ended the telemetry: many logs have dates only.
_LATEST_READING_US = 24 * US_PER_HOUR


def find_ending_failures(codes: IntArray, times: IntArray, ends_us: IntArray, horizon_us: int) -> IntArray:
    """Return the failure that ended the telemetry of each machine, in microseconds; ``NEVER_US`` if none did.

    A machine ended with its last failure if its last reading is at most a horizon before that failure and at most a
    day, or a horizon if shorter, after it.

    Parameters
    ----------
    codes, times : (failures,) int arrays
        Machine of each failure, as a position in ``ends_us``, and its time in microseconds.
    ends_us : (machines,) int array
        Last reading of each machine in microseconds.
    horizon_us : int
        Horizon in microseconds.
    """
    failed = np.full(len(ends_us), -NEVER_US)
    np.maximum.at(failed, codes, times)
    is_ended = (ends_us - min(horizon_us, _LATEST_READING_US) <= failed) & (failed <= ends_us + horizon_us)
    return np.where(is_ended, failed, NEVER_US)
