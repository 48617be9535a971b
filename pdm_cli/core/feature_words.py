"""Names of features in plain English."""

from __future__ import annotations

import re

_STATISTICS = {"mean": "mean", "std": "standard deviation", "min": "minimum", "max": "maximum"}
# Pattern of a feature's name and its wording; the first that fits is taken.
_WORDINGS = [
    (r"(.+)_(mean|std|min|max)_([\d.]+)(h|min)", "{0}, {statistic} of {2} {3}"),
    (r"hours_since_any_error", "hours since any error"),
    (r"hours_since_any_maint", "hours since any maintenance"),
    (r"hours_since_any_failure", "hours since any failure"),
    (r"hours_since_any_anomaly", "hours since any anomaly"),
    (r"hours_since_(.+)_replaced", "hours since {0} was replaced"),
    (r"hours_since_(.+)_failed", "hours since {0} failed"),
    (r"hours_since_(.+)_anomaly", "hours since an anomaly of {0}"),
    (r"hours_since_(.+)", "hours since {0}"),
    (r"(.+)_anomaly_count_([\d.]+)h", "{0}, anomalies in {1} h"),
    (r"(.+)_anomaly_score", "{0}, score of the latest anomaly"),
    (r"(.+)_count_([\d.]+)h", "{0}, how often in {1} h"),
    (r"(.+)_shift", "{0}, how clear its latest shift is"),
    (r"(.+)_shift_age", "{0}, hours since its latest shift"),
    (r"(.+)_shift_step", "{0}, size of its latest shift"),
    (r"visit_period", "rhythm of maintenance visits"),
    (r"visit_phase", "share of the time between visits gone by"),
    (r"hours_to_visit", "hours to the next maintenance visit"),
    (r"(.+)_shift_to_visit", "{0}, hours from its shift to the next visit"),
    (r"(.+)_to_visit", "{0}, hours from it to the next visit"),
    (r"(.+)_match", "likeness to the time before failures of {0}"),
    (r"(.+)_match_hours", "hours to a failure of {0}, going by earlier ones"),
    (r"(.+)_match_visit", "likeness to {0} failing at the next visit"),
    (r"(.+)_match_lag", "hours from the next visit to a failure of {0}, going by earlier ones"),
]


def name_feature(name: str) -> str:
    """Return a feature's name in words; one of no known family as it is.

    Examples
    --------
    >>> name_feature("volt_mean_24h")
    'volt, mean of 24 h'
    >>> name_feature("hours_since_comp1_replaced")
    'hours since comp1 was replaced'
    >>> name_feature("age")
    'age'
    """
    for pattern, wording in _WORDINGS:
        if match := re.fullmatch(pattern, name):
            groups = match.groups()
            return wording.format(*groups, statistic=_STATISTICS.get(groups[1] if len(groups) > 1 else "", ""))
    return name
