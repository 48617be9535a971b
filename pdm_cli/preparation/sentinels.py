"""Sentinels: impossible values that mean that a reading is missing, such as -999, found in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pdm_cli.schema import LARGEST_READING
from pdm_cli.text import name_some, show_count, show_number

# A sentinel occurs at least this often, and in this share of the readings; in more, it would be a state.
_LEAST_COUNT, _LEAST_SHARE, _MOST_SHARE = 3, 0.0001, 0.5
# It is further from the other values than this number of times their range; values in common use need less.
_FAR, _FAR_IF_COMMON = 5.0, 1.0
_COMMON = {
    *(-99.0, -999.0, -9999.0, -99999.0, -999.25, -999.9, -9999.9, -32767.0, -32768.0, -2147483648.0),
    *(999.0, 9999.0, 99999.0, 999999.0, 32767.0, 65535.0, 2147483647.0, 4294967295.0, 1e10),
}

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Sentinel:
    """A value that may mean a missing reading: how often it occurs, and the range of the sensor's other values."""

    sensor: str
    value: float
    count: int
    low: float
    high: float

    def describe(self) -> str:
        """Return ``press is -999 in 12 readings, far from its other values (4.2 to 5.6)``."""
        return (
            f"{self.sensor} is {self.value:.10g} in {show_count(self.count, 'reading')}, far from its other values "
            f"({show_number(self.low)} to {show_number(self.high)})"
        )

    def valid_range(self) -> tuple[float, float]:
        """Return a range that excludes the sentinel but leaves as much room as possible for other values."""
        apart = (self.low - self.value if self.value < self.low else self.value - self.high) / 2
        low, high = (float(f"{bound:.2g}") for bound in (self.low - apart, self.high + apart))
        is_apart = self.value < low < self.low if self.value < self.low else self.high < high < self.value
        return (low, high) if is_apart else (self.low - apart, self.high + apart)


def describe_sentinels(sentinels: Sequence[Sentinel]) -> str:
    """Return ``press is -999 in 12 readings, far from its other values (4.2 to 5.6): a missing value?``."""
    found = name_some([sentinel.describe() for sentinel in sentinels])
    return f"{found}: {'a missing value?' if len(sentinels) == 1 else 'missing values?'}"


def list_values(sentinels: Sequence[Sentinel]) -> str:
    """Return the distinct values as ``--na-values`` takes them: ``-999,65535``."""
    return ",".join(dict.fromkeys(f"{sentinel.value:.15g}" for sentinel in sentinels))


def ranges_without(sentinels: Sequence[Sentinel]) -> dict[str, tuple[float, float]]:
    """Return a valid range per sensor that excludes its sentinels."""
    ranges: dict[str, tuple[float, float]] = {}
    for sentinel in sentinels:
        low, high = sentinel.valid_range()
        other_low, other_high = ranges.get(sentinel.sensor, (low, high))
        ranges[sentinel.sensor] = (max(low, other_low), min(high, other_high))
    return ranges


@dataclass
class _End:
    """The smallest value of a sensor, its count, and the next larger one."""

    value: float = np.inf
    count: int = 0
    following: float = np.inf

    def add(self, values: FloatArray) -> None:
        value = float(values.min())
        is_value = values == value
        count = int(is_value.sum())
        following = float(np.min(values, initial=np.inf, where=~is_value))
        if value < self.value:
            following = min(following, self.value)
            self.value, self.count = value, count
        elif value == self.value:
            following = min(following, self.following)
            self.count += count
        else:
            following = min(value, self.following)
        self.following = following


class SentinelSearch:
    """The extreme values of each sensor, updated batch by batch."""

    def __init__(self, ranges: dict[str, tuple[float, float]] | None = None) -> None:
        self._ranges = ranges or {}
        self._counts: dict[str, int] = {}
        # The largest values are the smallest ones of the negative.
        self._ends: dict[str, tuple[_End, _End]] = {}

    def add(self, sensor: str, values: FloatArray) -> None:
        """Add readings of a sensor; those missing, infinite or outside its range do not count."""
        low, high = self._ranges.get(sensor, (-LARGEST_READING, LARGEST_READING))
        # Comparisons with NaN are false.
        values = values[(values >= low) & (values <= high)]
        if not len(values):
            return
        self._counts[sensor] = self._counts.get(sensor, 0) + len(values)
        lowest, highest = self._ends.setdefault(sensor, (_End(), _End()))
        lowest.add(values)
        highest.add(-values)

    def found(self, sensors: Iterable[str] | None = None) -> list[Sentinel]:
        """Return the sentinels of some sensors, or of all, in their order."""
        chosen = self._ends if sensors is None else sensors
        return [sentinel for sensor in chosen if sensor in self._ends for sentinel in self._of(sensor)]

    def _of(self, sensor: str) -> Iterable[Sentinel]:
        total, (lowest, highest) = self._counts[sensor], self._ends[sensor]
        low_end, high_end = lowest.value, -highest.value
        low, high = lowest.following, -highest.following
        # Both ends may be sentinels: then the others are between the two.
        for value, count, others in (
            (low_end, lowest.count, ((low, high_end), (low, high))),
            (high_end, highest.count, ((low_end, high), (low, high))),
        ):
            for first, last in others:
                if _is_sentinel(value, count, total, first, last):
                    yield Sentinel(sensor, value, count, first, last)
                    break


def _is_sentinel(value: float, count: int, total: int, low: float, high: float) -> bool:
    if value == 0 or not max(_LEAST_COUNT, _LEAST_SHARE * total) <= count <= _MOST_SHARE * total or not low < high:
        return False
    gap = low - value if value < low else value - high
    return gap > (_FAR_IF_COMMON if value in _COMMON else _FAR) * (high - low)
