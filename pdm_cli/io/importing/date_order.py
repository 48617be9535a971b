"""The order of year, month and day in a table's dates, and whether they have a time zone; errors name both rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pdm_cli.errors import DataError
from pdm_cli.io.importing.date_shapes import (
    Order,
    find_doubtful,
    fitting_orders,
    has_zone,
    is_date,
    order_of,
    shape_of,
)
from pdm_cli.io.importing.survey import Place, TableSurvey
from pdm_cli.io.importing.text_files import quote

# Digits of Unix seconds since 2001.
_SHORTEST_EPOCH = 10


def find_order(survey: TableSurvey, others: Sequence[TableSurvey]) -> Order:
    """Return the order of year, month and day in the dates of a table, from all rows.

    Parameters
    ----------
    survey : TableSurvey
        The table, after :meth:`TableSurvey.read`.
    others : sequence of TableSurvey
        All tables; an unambiguous one is mentioned in the hint if this one is ambiguous.

    Raises
    ------
    DataError
        If no order fits all rows, or both day-first and month-first do.
    """
    fitting, given = fitting_orders(survey.shapes), survey.options.order
    unknown = [shape for shape in survey.shapes if not shape.is_known]
    if unknown:
        names = {shape.text for shape in unknown}
        place = survey.first(survey.time, lambda text: shape_of(text) in names and not is_date(text))
        raise survey.error(
            place,
            survey.time,
            f"{quote(place.text)} is not in a known date format",
            _hint_format(place.text),
        )
    if not fitting:
        raise _mixed_orders(survey)
    if len(fitting) == 2:
        if given is None:
            raise _undecided(survey, others)
        return given
    if given is not None and fitting[0] != "year-first" and len(fitting) == 1 and fitting[0] != given:
        place = survey.first_of(survey.shapes, fitting[0])
        hint = f"drop --{given}, or specify --date-format {survey.table.name}=… for this table"
        raise survey.error(place, survey.time, f"{quote(place.text)} cannot be {given}", hint)
    return fitting[0]


def _hint_format(text: str) -> str:
    if text.isdecimal() and len(text) < _SHORTEST_EPOCH:
        return "if it counts cycles or hours, say how long one is with --cycles, such as --cycles 1h"
    return "specify it with --date-format, such as '%d.%m.%y %H:%M', epoch-s or epoch-ms"


def find_zone(survey: TableSurvey) -> bool:
    """Return whether the timestamps of a table have a time zone.

    Raises
    ------
    DataError
        If some do and some do not.
    """
    if form := survey.date_format:
        return has_zone(form)
    zoned = [shape for shape in survey.shapes if shape.has_zone]
    plain = [shape for shape in survey.shapes if not shape.has_zone]
    if zoned and plain:
        naive, other = survey.first_of(plain), survey.first_of(zoned)
        raise survey.error(
            naive,
            survey.time,
            f"{quote(naive.text)} has no time zone, while {quote(other.text)} ({other}) has one",
            "write all timestamps of a table with a zone, or all without",
        )
    return bool(zoned)


def _mixed_orders(survey: TableSurvey) -> DataError:
    doubtful = find_doubtful(survey.shapes)
    if doubtful is not None:
        undecided, decided = ([shape for shape in survey.shapes if shape.sign == sign] for sign in doubtful)
        date = survey.first_of([shape for shape in undecided if shape.undecided])
        names = {shape.text for shape in decided}
        other = survey.first(survey.time, lambda text: shape_of(text) in names and order_of(text) is not None)
        return survey.error(
            date,
            survey.time,
            f"{quote(date.text)} may be day-first or month-first; {quote(other.text)} ({other}) has another separator "
            "and does not decide it",
            "use one date format per table",
        )
    places = sorted(_order_places(survey), key=lambda item: item[0] != "year-first")
    (one, first), (other_order, second) = places[:2]
    return survey.error(
        second,
        survey.time,
        f"{quote(second.text)} is {other_order}, while {quote(first.text)} ({first}) is {one}",
        "use one date format per table",
    )


def _order_places(survey: TableSurvey) -> Iterator[tuple[str, Place]]:
    """Yield the orders that rows of a table have, and the first row of each."""
    if any(shape.is_year_first for shape in survey.shapes):
        yield "year-first", survey.first_of([shape for shape in survey.shapes if shape.is_year_first])
    short = [shape for shape in survey.shapes if not shape.is_year_first]
    if any(shape.day_first for shape in short):
        yield "day-first", survey.first_of(short, "day-first")
    if any(shape.month_first for shape in short):
        yield "month-first", survey.first_of(short, "month-first")
    if any(shape.undecided for shape in short):
        yield "not", survey.first_of(short)


def _undecided(survey: TableSurvey, others: Sequence[TableSurvey]) -> DataError:
    undecided = survey.first_of([shape for shape in survey.shapes if shape.undecided])
    hint = "choose --day-first or --month-first"
    for other in others:
        orders = fitting_orders(other.shapes)
        if len(orders) == 1 and orders[0] != "year-first":
            date = other.first_of(other.shapes, orders[0])
            hint += f" ({other.name} is {orders[0]}: {quote(date.text)} in {date.where})"
            break
    return survey.error(
        undecided,
        survey.time,
        f"{quote(undecided.text)} may be day-first or month-first"
        + (f", like all {survey.rows:,} rows" if survey.rows > 1 else ""),
        hint,
    )
