"""Names of features, and their values, in plain English."""

from __future__ import annotations

import re
from typing import NamedTuple


class _Wording(NamedTuple):
    """A pattern of names; what such a feature is about, what it is, what it says with a value, and what without one."""

    pattern: str
    about: str
    name: str
    value: str
    missing: str


# The first that fits is taken.
_WORDINGS = [
    _Wording(*parts)
    for parts in (
        (
            r"(.+)_std_([\d.]+)(h|min)",
            "spread",
            "{0}, standard deviation of {1} {2}",
            "{0} standard deviation of {1} {2} is {value}",
            "{0} standard deviation unknown",
        ),
        (
            r"(.+)_(mean|min|max)_([\d.]+)(h|min)",
            "level",
            "{0}, {1} of {2} {3}",
            "{0} {1} of {2} {3} is {value}",
            "{0} {1} of {2} {3} unknown",
        ),
        (
            r"hours_since_any_error",
            "errors",
            "hours since any error",
            "last error of any kind {hours} ago",
            "no error of any kind yet",
        ),
        (
            r"hours_since_any_maint",
            "maintenance",
            "hours since any maintenance",
            "last maintenance of any kind {hours} ago",
            "no maintenance yet",
        ),
        (
            r"hours_since_any_failure",
            "failures",
            "hours since any failure",
            "last failure of any component {hours} ago",
            "no failure of any component yet",
        ),
        (
            r"hours_since_any_anomaly",
            "all anomalies",
            "hours since any anomaly",
            "last anomaly of any sensor {hours} ago",
            "no anomaly of any sensor yet",
        ),
        (
            r"hours_since_(.+)_replaced",
            "replaced",
            "hours since {0} was replaced",
            "{0} replaced {hours} ago",
            "{0} not replaced yet",
        ),
        (
            r"hours_since_(.+)_failed",
            "failed",
            "hours since {0} failed",
            "{0} failed {hours} ago",
            "{0} has not failed yet",
        ),
        (
            r"hours_since_(.+)_anomaly",
            "anomalies",
            "hours since an anomaly of {0}",
            "{0} anomaly {hours} ago",
            "no {0} anomaly yet",
        ),
        (r"hours_since_(.+)", "event", "hours since {0}", "{0} {hours} ago", "no {0} yet"),
        (
            r"(.+)_anomaly_count_([\d.]+)h",
            "anomalies",
            "{0}, anomalies in {1} h",
            "{value} of {0} anomaly in {1} h",
            "{0} anomalies unknown",
        ),
        (
            r"(.+)_anomaly_score",
            "anomalies",
            "{0}, score of the latest anomaly",
            "last {0} anomaly has score {value}",
            "no {0} anomaly yet",
        ),
        (r"(.+)_count_([\d.]+)h", "event", "{0}, how often in {1} h", "{value} of {0} in {1} h", "{0} count unknown"),
        (
            r"(.+)_shift",
            "shift",
            "{0}, how clear its latest shift is",
            "test statistic of a {0} shift is {statistic}",
            "shift of {0} unknown",
        ),
        (
            r"(.+)_shift_age",
            "shift",
            "{0}, hours since its latest shift",
            "{0} shift began {hours} ago",
            "shift of {0} unknown",
        ),
        (
            r"(.+)_shift_step",
            "shift",
            "{0}, size of its latest shift",
            "{0} shifted by {signed} standard deviations",
            "shift of {0} unknown",
        ),
        (
            r"visit_period",
            "visit",
            "rhythm of maintenance visits",
            "maintenance visits every {hours}",
            "no rhythm of maintenance visits known",
        ),
        (
            r"visit_phase",
            "visit",
            "share of the time between visits gone by",
            "{percent} of the time to the next visit gone by",
            "next maintenance visit unknown",
        ),
        (
            r"hours_to_visit",
            "visit",
            "hours to the next maintenance visit",
            "next maintenance visit in {hours}",
            "next maintenance visit unknown",
        ),
        (
            r"(.+)_shift_to_visit",
            "shift",
            "{0}, hours from its shift to the next visit",
            "{0} shifted {hours} before the next visit",
            "no clear shift of {0}",
        ),
        (
            r"(.+)_to_visit",
            "event",
            "{0}, hours from it to the next visit",
            "{0} came {hours} before the next visit",
            "no {0} of late",
        ),
        (
            r"(.+)_match",
            "likeness",
            "likeness to the time before failures of {0}",
            "{looks} like the time before earlier failures of {0}",
            "likeness to failures of {0} unknown",
        ),
        (
            r"(.+)_match_hours",
            "likeness",
            "hours to a failure of {0}, going by earlier ones",
            "{0} would fail in {hours}, as earlier ones did",
            "likeness to failures of {0} unknown",
        ),
        (
            r"(.+)_match_visit",
            "likeness at visit",
            "likeness to {0} failing at the next visit",
            "{looks} like {0} fails at the next visit",
            "next maintenance visit unknown, or too far ahead",
        ),
        (
            r"(.+)_match_lag",
            "likeness at visit",
            "hours from the next visit to a failure of {0}, going by earlier ones",
            "{0} would fail {beside} the next visit",
            "next maintenance visit unknown",
        ),
    )
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
    wording, groups = _find_wording(name)
    return wording.name.format(*groups) if wording else name


def describe_feature(name: str, value: float | str | None, *, usual: float | None = None) -> str:
    """Return what a feature with its value, or category, says; ``None`` is a missing value.

    The usual value, where one is given, stands beside a plain number; hours, shifts and likeness speak for themselves.

    Examples
    --------
    >>> describe_feature("hours_since_error1", 21.0)
    'error1 21 h ago'
    >>> describe_feature("volt_mean_24h", 201.43)
    'volt mean of 24 h is 201.4'
    >>> describe_feature("volt_mean_24h", 201.43, usual=170.7)
    'volt mean of 24 h is 201.4 (usually 170.7)'
    >>> describe_feature("age", 18.0)
    'age = 18'
    """
    if isinstance(value, str):
        return f"{name} = {value}"
    wording, groups = _find_wording(name)
    if value is None:
        return wording.missing.format(*groups) if wording else f"{name} unknown"
    told = wording.value.format(*groups, **_words(value)) if wording else f"{name} = {_number(value)}"
    is_plain = wording is None or "{value}" in wording.value
    return f"{told} (usually {_number(usual)})" if is_plain and usual is not None else told


def topic_of(name: str) -> tuple[str, ...]:
    """Return what a feature is about: the kind of fact, and the sensor, event or component; an attribute by itself.

    Features about the same say much the same.

    Examples
    --------
    >>> topic_of("volt_mean_24h") == topic_of("volt_max_12h")
    True
    >>> topic_of("volt_std_24h") == topic_of("volt_mean_24h")
    False
    """
    wording, groups = _find_wording(name)
    return (wording.about, *groups[:1]) if wording else ("attribute", name)


def tell_value(name: str, value: float | str | None) -> str:
    """Return a feature's value alone in the unit that :func:`describe_feature` tells it in.

    Examples
    --------
    >>> tell_value("hours_since_error1", 240.0)
    '10 days'
    >>> tell_value("volt_mean_24h", 170.74)
    '170.7'
    >>> tell_value("comp1_match", -3.2)
    'no'
    """
    if value is None or isinstance(value, str):
        return value or "none"
    wording, _ = _find_wording(name)
    place = re.search(r"\{(signed|percent|hours|beside|looks)\}", wording.value) if wording else None
    if place is None:
        return _number(value)
    words = {**_words(value), "looks": "yes" if value > 0 else "no"}
    return words[place[1]]


def _find_wording(name: str) -> tuple[_Wording | None, tuple[str, ...]]:
    """Return the wording of a feature and the parts of its name."""
    for wording in _WORDINGS:
        if match := re.fullmatch(wording.pattern, name):
            return wording, match.groups()
    return None, ()


def _words(value: float) -> dict[str, str]:
    """Return the ways in which a wording may tell a value."""
    return {
        "value": _number(value),
        "statistic": _number(value),
        "signed": f"{value:+.2g}",
        "percent": f"{value:.0%}",
        "hours": _hours(value),
        "beside": f"{_hours(abs(value))} {'after' if value > 0 else 'before'}" if abs(value) >= 0.5 else "at",
        # Log-likelihood ratios: below 0 normal running explains the readings better.
        "looks": "looks" if value > 0 else "does not look",
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"


def _hours(value: float) -> str:
    """Return hours, from three days on as days."""
    return f"{value:.3g} h" if abs(value) < 72 else f"{value / 24:.0f} days"
