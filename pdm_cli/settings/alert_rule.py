"""The setting ``threshold``: how the alert rule is chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

How = Literal["hysteresis", "f1", "recall", "cost"]


@dataclass(frozen=True)
class Threshold:
    """How an alert rule is chosen; for ``recall``, the share of rows before a failure that must alert, in (0, 1]."""

    how: How = "hysteresis"
    recall: float = 1.0


def parse_threshold(text: str) -> Threshold:
    """Parse ``hysteresis``, ``f1``, ``cost`` or ``recall=0.95``.

    Raises
    ------
    ValueError
        If it is none of these, or the recall is not in (0, 1].

    Examples
    --------
    >>> parse_threshold("recall=0.95")
    Threshold(how='recall', recall=0.95)
    """
    how, equals, number = text.strip().partition("=")
    if how == "recall":
        try:
            recall = float(number)
        except ValueError:
            recall = math.nan
        if not 0 < recall <= 1:
            raise ValueError(f"recall needs a share above 0 and up to 1, such as recall=0.95, got {text!r}")
        return Threshold("recall", recall)
    if how not in get_args(How) or equals:
        raise ValueError(f"expected hysteresis, f1, cost or recall=0.95, got {text!r}")
    return Threshold(how)  # type: ignore[arg-type]
