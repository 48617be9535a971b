"""Feature names and values in plain English."""

from __future__ import annotations

import re
from typing import NamedTuple


class _Wording(NamedTuple):
    """Wording of the features whose names match a pattern: topic, name, and text with and without a value."""

    pattern: str
    topic: str
    name: str
    value: str
    missing: str


# A model or type of machine must not be taken for the model that predicts.
_ATTRIBUTE = "machine attribute {0}"
# The first match applies.
_WORDINGS = [
    _Wording(
        r"(.+)_std_([\d.]+)(h|min)",
        "spread",
        "{0}, standard deviation over {1} {2}",
        "{0} standard deviation over {1} {2} is {value}",
        "{0} standard deviation unknown",
    ),
    _Wording(
        r"(.+)_(mean|min|max)_([\d.]+)(h|min)",
        "level",
        "{0}, {1} over {2} {3}",
        "{0} {1} over {2} {3} is {value}",
        "{0} {1} over {2} {3} unknown",
    ),
    _Wording(
        "hours_since_any_error",
        "errors",
        "hours since any error",
        "last error of any type {hours} ago",
        "no error of any type yet",
    ),
    _Wording(
        "hours_since_any_maint",
        "maintenance",
        "hours since any maintenance",
        "last maintenance of any type {hours} ago",
        "no maintenance yet",
    ),
    _Wording(
        "hours_since_any_failure",
        "failures",
        "hours since any failure",
        "last failure of any component {hours} ago",
        "no failure of any component yet",
    ),
    _Wording(
        "hours_since_any_anomaly",
        "all anomalies",
        "hours since any anomaly",
        "last anomaly of any sensor {hours} ago",
        "no anomaly of any sensor yet",
    ),
    _Wording(
        "hours_since_(.+)_replaced",
        "replaced",
        "hours since {0} was replaced",
        "{0} replaced {hours} ago",
        "{0} not replaced yet",
    ),
    _Wording(
        "hours_since_(.+)_failed",
        "failed",
        "hours since {0} failed",
        "{0} failed {hours} ago",
        "{0} has not failed yet",
    ),
    _Wording(
        "hours_since_(.+)_anomaly",
        "anomalies",
        "hours since a {0} anomaly",
        "{0} anomaly {hours} ago",
        "no {0} anomaly yet",
    ),
    _Wording("hours_since_(.+)", "event", "hours since {0}", "{0} {hours} ago", "no {0} yet"),
    _Wording(
        r"(.+)_anomaly_count_([\d.]+)h",
        "anomalies",
        "{0}, anomalies in {1} h",
        "{value} {0} anomalies in {1} h",
        "{0} anomalies unknown",
    ),
    _Wording(
        "(.+)_anomaly_score",
        "anomalies",
        "{0}, score of the latest anomaly",
        "latest {0} anomaly has score {value}",
        "no {0} anomaly yet",
    ),
    _Wording(
        r"(.+)_count_([\d.]+)h", "event", "{0}, count in {1} h", "{0} count in {1} h is {value}", "{0} count unknown"
    ),
    _Wording(
        "(.+)_shift",
        "shift",
        "{0}, test statistic of its latest shift",
        "{0} shift has test statistic {statistic}",
        "shift of {0} unknown",
    ),
    _Wording(
        "(.+)_shift_age",
        "shift",
        "{0}, hours since its latest shift",
        "{0} shift began {hours} ago",
        "shift of {0} unknown",
    ),
    _Wording(
        "(.+)_shift_step",
        "shift",
        "{0}, size of its latest shift",
        "{0} shifted by {signed} standard deviations",
        "shift of {0} unknown",
    ),
    _Wording(
        "visit_period",
        "visit",
        "interval between maintenance visits",
        "maintenance visits every {hours}",
        "interval between maintenance visits unknown",
    ),
    _Wording(
        "visit_phase",
        "visit",
        "elapsed share of the maintenance interval",
        "{percent} of the maintenance interval elapsed",
        "next maintenance visit unknown",
    ),
    _Wording(
        "hours_to_visit",
        "visit",
        "hours to the next maintenance visit",
        "next maintenance visit in {hours}",
        "next maintenance visit unknown",
    ),
    _Wording(
        "(.+)_shift_to_visit",
        "shift",
        "{0}, hours from its shift to the next visit",
        "{0} shifted {hours} before the next visit",
        "no clear shift of {0}",
    ),
    _Wording(
        "(.+)_to_visit",
        "event",
        "hours from {0} to the next visit",
        "{0} occurred {hours} before the next visit",
        "no recent {0}",
    ),
    _Wording(
        "(.+)_match",
        "likeness",
        "similarity to the hours before {0} failures",
        "{resembles} the hours before past {0} failures",
        "similarity to {0} failures unknown",
    ),
    _Wording(
        "(.+)_match_hours",
        "likeness",
        "hours to a {0} failure, from past failures",
        "{0} failure in {hours} according to past failures",
        "similarity to {0} failures unknown",
    ),
    _Wording(
        "(.+)_match_visit",
        "likeness at visit",
        "similarity to a {0} failure at the next visit",
        "{resembles} a {0} failure at the next visit",
        "next visit unknown or too far ahead to compare with past {0} failures",
    ),
    _Wording(
        "(.+)_match_lag",
        "likeness at visit",
        "hours from the next visit to a {0} failure, from past failures",
        "{0} failure expected {offset} the next visit",
        "hours from the next visit to a {0} failure unknown",
    ),
]


def name_feature(name: str) -> str:
    """Return a feature's name in plain English; the features without a name of their own are machine attributes.

    Examples
    --------
    >>> name_feature("volt_mean_24h")
    'volt, mean over 24 h'
    >>> name_feature("hours_since_comp1_replaced")
    'hours since comp1 was replaced'
    >>> name_feature("age")
    'machine attribute age'
    """
    wording, groups = _find_wording(name)
    return wording.name.format(*groups) if wording else _ATTRIBUTE.format(name)


def describe_feature(name: str, value: float | str | None, *, typical: float | None = None) -> str:
    """Describe a feature with its value or category; ``None`` is a missing value.

    The typical value, if given, is added to plain numbers, but not to hours, shifts and similarities.

    Examples
    --------
    >>> describe_feature("hours_since_error1", 21.0)
    'error1 21 h ago'
    >>> describe_feature("volt_mean_24h", 201.43)
    'volt mean over 24 h is 201.4'
    >>> describe_feature("volt_mean_24h", 201.43, typical=170.7)
    'volt mean over 24 h is 201.4 (typical: 170.7)'
    >>> describe_feature("age", 18.0)
    'machine attribute age: 18'
    """
    if isinstance(value, str):
        return f"{_ATTRIBUTE.format(name)}: {value}"
    wording, groups = _find_wording(name)
    if value is None:
        return wording.missing.format(*groups) if wording else f"{_ATTRIBUTE.format(name)} unknown"
    text = (
        wording.value.format(*groups, **_formats(value)) if wording else f"{_ATTRIBUTE.format(name)}: {_number(value)}"
    )
    is_plain = wording is None or "{value}" in wording.value
    return f"{text} (typical: {_number(typical)})" if is_plain and typical is not None else text


def feature_topic(name: str) -> tuple[str, ...]:
    """Return the topic of a feature: the aspect, and the sensor, event or component. An attribute is its own topic.

    Features with the same topic carry much the same information.

    Examples
    --------
    >>> feature_topic("volt_mean_24h") == feature_topic("volt_max_12h")
    True
    >>> feature_topic("volt_std_24h") == feature_topic("volt_mean_24h")
    False
    """
    wording, groups = _find_wording(name)
    return (wording.topic, *groups[:1]) if wording else ("attribute", name)


def format_value(name: str, value: float | str | None) -> str:
    """Return a feature's value alone, in the unit that :func:`describe_feature` uses.

    Examples
    --------
    >>> format_value("hours_since_error1", 240.0)
    '10 days'
    >>> format_value("volt_mean_24h", 170.74)
    '170.7'
    >>> format_value("comp1_match", -3.2)
    'no'
    """
    if value is None or isinstance(value, str):
        return value or "none"
    wording, _ = _find_wording(name)
    place = re.search(r"\{(signed|percent|hours|offset|resembles)\}", wording.value) if wording else None
    if place is None:
        return _number(value)
    formats = {**_formats(value), "resembles": "yes" if value > 0 else "no"}
    return formats[place[1]]


def _find_wording(name: str) -> tuple[_Wording | None, tuple[str, ...]]:
    """Return the wording of a feature and the parts of its name."""
    for wording in _WORDINGS:
        if match := re.fullmatch(wording.pattern, name):
            return wording, match.groups()
    return None, ()


def _formats(value: float) -> dict[str, str]:
    """Return the value in each form that a wording may use."""
    return {
        "value": _number(value),
        "statistic": _number(value),
        "signed": f"{value:+.2g}",
        "percent": f"{value:.0%}",
        "hours": _hours(value),
        "offset": f"{_hours(abs(value))} {'after' if value > 0 else 'before'}" if abs(value) >= 0.5 else "at",
        # Log-likelihood ratios: below 0 normal running explains the readings better.
        "resembles": "resembles" if value > 0 else "does not resemble",
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"


def _hours(value: float) -> str:
    """Return hours, or days from three days on."""
    return f"{value:.3g} h" if abs(value) < 72 else f"{value / 24:.0f} days"
