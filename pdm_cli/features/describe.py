"""Feature names and values in plain English."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from pdm_cli.text import show_number
from pdm_cli.units import current, show_age, show_hours, show_reading


class _Wording(NamedTuple):
    """Wording of the features whose names match a pattern: topic, name, and text with and without a value."""

    pattern: str
    topic: str
    name: str
    value: str
    missing: str


# Length of a window in a feature's name.
_SPAN = r"(?P<length>[\d.]+)(?P<scale>h|min)"
# A model or type of machine must not be taken for the model that predicts.
_ATTRIBUTE = "machine attribute {0}"
# Topics of features in the unit of a sensor.
_OF_READINGS = ("spread", "level", "trend")
# The first match applies.
_WORDINGS = [
    _Wording(
        rf"(.+)_std_{_SPAN}",
        "spread",
        "{0}, standard deviation over {span}",
        "{0} standard deviation over {span} is {value}",
        "{0} standard deviation unknown",
    ),
    _Wording(
        rf"(.+)_(mean|min|max)_{_SPAN}",
        "level",
        "{0}, {1} over {span}",
        "{0} {1} over {span} is {value}",
        "{0} {1} over {span} unknown",
    ),
    _Wording(
        rf"(.+)_level_{_SPAN}",
        "level",
        "{0}, mean over {span} minus its usual level",
        "{0} mean over {span} minus its usual level is {value}",
        "usual level of {0} unknown",
    ),
    _Wording(
        rf"(.+)_residual_{_SPAN}",
        "residual",
        "{0}, mean over {span} compared with the other sensors",
        "{0} mean over {span} is {deviations} from the level that the other sensors imply",
        "usual level of {0} unknown",
    ),
    _Wording(
        rf"(.+)_trend_{_SPAN}",
        "trend",
        "{0}, change per {lag}",
        "{0} changes by {value} per {lag}",
        "change of {0} unknown",
    ),
    _Wording(
        rf"(.+)_(lowest|highest)_{_SPAN}",
        "level",
        "{0}, {1} reading in {span} minus its usual level",
        "{1} {0} in {span} minus its usual level is {value}",
        "usual level of {0} unknown",
    ),
    _Wording(
        rf"(.+)_z_{_SPAN}",
        "level",
        "{0}, mean distance from its median over {span} in robust standard deviations",
        "{0} over {span} is {robust_deviations} from its median",
        "median of {0} unknown",
    ),
    _Wording(
        rf"(.+)_(above|below)_{_SPAN}",
        "excursions",
        "{0}, share of readings far {1} the usual in {span}",
        "{percent} of {0} readings in {span} are far {1} the usual",
        "share of unusual {0} readings unknown",
    ),
    _Wording(
        "hours_since_start",
        "start",
        "{unit} since the first reading",
        "first reading {hours} ago",
        "no reading yet",
    ),
    _Wording(
        "(.+)_sum_since_(.+)",
        "usage",
        "{0}, sum since {1} was replaced",
        "{0} adds up to {value} since {1} was replaced",
        "sum of {0} unknown",
    ),
    _Wording(
        "hours_since_any_error",
        "errors",
        "{unit} since any error",
        "last error of any type {hours} ago",
        "no error of any type yet",
    ),
    _Wording(
        "hours_since_any_maint",
        "maintenance",
        "{unit} since any maintenance",
        "last maintenance of any type {hours} ago",
        "no maintenance yet",
    ),
    _Wording(
        "hours_since_any_failure",
        "failures",
        "{unit} since any failure",
        "last failure of any component {hours} ago",
        "no failure of any component yet",
    ),
    _Wording(
        "hours_since_any_anomaly",
        "all anomalies",
        "{unit} since any anomaly",
        "last anomaly of any sensor {hours} ago",
        "no anomaly of any sensor yet",
    ),
    _Wording(
        "hours_since_(.+)_replaced",
        "replaced",
        "{unit} since {0} was replaced",
        "{0} replaced {hours} ago",
        "{0} not replaced yet",
    ),
    _Wording(
        "hours_since_(.+)_failed",
        "failed",
        "{unit} since {0} failed",
        "{0} failed {hours} ago",
        "{0} has not failed yet",
    ),
    _Wording(
        "hours_since_(.+)_anomaly",
        "anomalies",
        "{unit} since a {0} anomaly",
        "{0} anomaly {hours} ago",
        "no {0} anomaly yet",
    ),
    _Wording("hours_since_(.+)", "event", "{unit} since {0}", "{0} {hours} ago", "no {0} yet"),
    _Wording(
        rf"(.+)_anomaly_count_{_SPAN}",
        "anomalies",
        "{0}, anomalies in {span}",
        "{value} {0} anomalies in {span}",
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
        rf"(.+)_count_{_SPAN}", "event", "{0}, count in {span}", "{0} count in {span} is {value}", "{0} count unknown"
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
        "{0}, {unit} since its latest shift",
        "{0} shift began {hours} ago",
        "shift of {0} unknown",
    ),
    _Wording(
        "(.+)_shift_step",
        "shift",
        "{0}, size of its latest shift",
        "{0} shifted by {deviations}",
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
        "{unit} to the next maintenance visit",
        "next maintenance visit in {hours}",
        "next maintenance visit unknown",
    ),
    _Wording(
        "(.+)_shift_to_visit",
        "shift",
        "{0}, {unit} from its shift to the next visit",
        "{0} shifted {hours} before the next visit",
        "no clear shift of {0}",
    ),
    _Wording(
        "(.+)_to_visit",
        "event",
        "{unit} from {0} to the next visit",
        "{0} occurred {hours} before the next visit",
        "no recent {0}",
    ),
    _Wording(
        "(.+)_match",
        "likeness",
        "similarity to the {unit} before {0} failures",
        "{resembles} the {unit} before past {0} failures",
        "similarity to {0} failures unknown",
    ),
    _Wording(
        "(.+)_match_hours",
        "likeness",
        "{unit} to a {0} failure, from past failures",
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
        "{unit} from the next visit to a {0} failure, from past failures",
        "{0} failure expected {offset} the next visit",
        "{unit} from the next visit to a {0} failure unknown",
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
    found = _find_wording(name)
    return found.fill(found.wording.name) if found else _ATTRIBUTE.format(name)


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
    found = _find_wording(name)
    if value is None:
        return found.fill(found.wording.missing) if found else f"{_ATTRIBUTE.format(name)} unknown"
    if found is None:
        text = f"{_ATTRIBUTE.format(name)}: {show_number(value)}"
        return f"{text} (typical: {show_number(typical)})" if typical is not None else text
    text = found.fill(found.wording.value, value)
    is_plain = "{value}" in found.wording.value
    return f"{text} (typical: {found.show_value(typical)})" if is_plain and typical is not None else text


def is_unusual(name: str, value: float | str | None, *, typical: float | None = None) -> bool:
    """Return whether a value differs from the typical one as both are shown; without one, whether a change is not 0.

    Examples
    --------
    >>> is_unusual("volt_mean_24h", 201.4, typical=170.7)
    True
    >>> is_unusual("volt_mean_24h", 170.71, typical=170.72)
    False
    >>> is_unusual("volt_trend_24h", 0.0)
    False
    """
    if value is None or isinstance(value, str):
        return True
    found = _find_wording(name)
    if typical is None:
        return found is None or found.wording.topic != "trend" or show_number(value) != "0"
    is_plain = found is None or "{value}" in found.wording.value
    return not is_plain or show_number(value) != show_number(typical)


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
    found = _find_wording(name)
    return (found.wording.topic, *found.groups[:1]) if found else ("attribute", name)


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
    found = _find_wording(name)
    if found is None:
        return show_number(value)
    place = re.search(r"\{(deviations|robust_deviations|percent|hours|offset|resembles)\}", found.wording.value)
    if place is None:
        return found.show_value(value)
    forms = _formats(value)
    short = dict.fromkeys(("deviations", "robust_deviations"), forms["signed"])
    return {**forms, **short, "resembles": "yes" if value > 0 else "no"}[place[1]]


class _Found(NamedTuple):
    """The wording of a feature, the parts of its name, the length of its window, and that between its outer thirds."""

    wording: _Wording
    groups: tuple[str, ...]
    span: str
    lag: str

    def fill(self, text: str, value: float | None = None) -> str:
        """Return a text of the wording with the parts of the name, and the value."""
        forms = {} if value is None else {**_formats(value), "value": self.show_value(value)}
        return text.format(*self.groups, span=self.span, lag=self.lag, unit=current().time_word, **forms)

    def show_value(self, value: float) -> str:
        """Return a number, with the unit of the sensor if it is one of its readings."""
        number = show_number(value)
        return show_reading(self.groups[0], number) if self.wording.topic in _OF_READINGS else number


def _find_wording(name: str) -> _Found | None:
    for wording in _WORDINGS:
        if match := re.fullmatch(wording.pattern, name):
            window = match.groupdict()
            # Trends compare the last third of a window with the first one.
            return _Found(wording, match.groups(), _show_window(window), _show_window(window, 2 / 3))
    return None


def _show_window(window: Mapping[str, str], share: float = 1.0) -> str:
    """Return a share of the length of a window in the unit that its feature's name gives it in, or in cycles."""
    if "length" not in window:
        return ""
    amount, scale = float(window["length"]) * share, window["scale"]
    return show_hours(amount / (60 if scale == "min" else 1)) if current().counts_cycles else f"{amount:g} {scale}"


def _formats(value: float) -> dict[str, str]:
    """Return the value in each form that a wording may use, except for plain numbers."""
    signed = show_number(value, "+.2g")
    plural = "" if signed in ("+1", "-1") else "s"
    return {
        "statistic": show_number(value),
        "signed": signed,
        "deviations": f"{signed} standard deviation{plural}",
        "robust_deviations": f"{signed} robust standard deviation{plural}",
        "percent": f"{value:.0%}",
        "hours": show_age(value),
        "offset": f"{show_age(abs(value))} {'after' if value > 0 else 'before'}" if abs(value) >= 0.5 else "at",
        # Log-likelihood ratios: below 0 normal running explains the readings better.
        "resembles": "resembles" if value > 0 else "does not resemble",
    }
