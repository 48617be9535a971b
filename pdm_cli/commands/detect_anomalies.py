"""``pdm detect-anomalies``: prepared telemetry to a table of anomalies."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pdm_cli.commands.options import Out, Overwrite, input_port, with_settings
from pdm_cli.commands.stages import STAGES
from pdm_cli.errors import DataError
from pdm_cli.params import Settings
from pdm_cli.report.screen import Screen

if TYPE_CHECKING:
    import pandas as pd

    from pdm_cli.commands.execution import Task
    from pdm_cli.core.detectors import Found

_STAGE = STAGES["detect-anomalies"]
_WORST_MACHINES = 5


@with_settings(*_STAGE.sections)
def detect_anomalies(
    *,
    prepared: Annotated[str, input_port("prepared", "Prepared tables, written by pdm preprocess.")],
    out: Out,
    overwrite: Overwrite = False,
    settings: Settings,
    screen: Screen,
) -> None:
    """Find anomalous readings of every machine and sensor with Seasonal Hybrid ESD.

    Mode causal judges each reading by earlier ones, so that the anomalies may become features of a model. Mode batch
    looks at the whole series, as Twitter's R package does.

    Example: pdm detect-anomalies --prepared prepared --out anomalies
    """
    from pdm_cli.commands.execution import execute
    from pdm_cli.report.results import draw_anomalies

    summary = execute(_STAGE, {"prepared": prepared}, out, settings=settings, screen=screen, overwrite=overwrite)
    payload = {**summary, "schema": "pdm.detect-anomalies/1", "out": out}
    screen.result(payload, lambda: [*draw_anomalies(summary), out])


def detect(task: Task) -> dict[str, Any]:
    """Write ``anomalies.parquet`` and return the summary."""
    from pdm_cli import tables
    from pdm_cli.core.detectors import DETECTORS, find_anomalies
    from pdm_cli.schema import ANOMALIES, TELEMETRY

    params = task.settings.detect
    path = tables.require_file(task.inputs["prepared"], TELEMETRY)
    step_us = tables.read_step(path)
    groups = tables.count_row_groups(path)

    def detect_group(group: int) -> tuple[pd.DataFrame, list[Found]]:
        return find_anomalies(tables.read_row_group(path, group), step_us=step_us, params=params)

    tally = _Tally()
    workers = min(params.jobs or os.cpu_count() or 1, groups)
    is_causal = DETECTORS[params.mode].is_causal
    metadata = {"causal": "true" if is_causal else "false", "mode": params.mode}
    with (
        tables.TableWriter(task.out / ANOMALIES.file, metadata) as writer,
        task.screen.progress("detect-anomalies: machines", _count_machines(path)) as advance,
        ThreadPoolExecutor(workers) as executor,
    ):
        for anomalies, found in _in_order(executor, detect_group, groups, ahead=2 * workers):
            _refuse_unjudged(found, strict=params.strict)
            writer.write(anomalies)
            advance(tally.add(found))
    return {"schema": "pdm.anomalies/1", "causal": is_causal, "mode": params.mode, **tally.summary()}


def _in_order(
    executor: Executor, work: Callable[[int], tuple[pd.DataFrame, list[Found]]], groups: int, *, ahead: int
) -> Iterator[tuple[pd.DataFrame, list[Found]]]:
    """Yield the results of row groups 0, 1, 2 …, with only so many ahead of the reader, so that memory stays flat."""
    begun: deque[Future[tuple[pd.DataFrame, list[Found]]]] = deque()
    try:
        for group in range(groups):
            begun.append(executor.submit(work, group))
            if len(begun) > ahead:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _refuse_unjudged(found: list[Found], *, strict: bool) -> None:
    for item in found:
        if strict and item.reason is not None:
            raise DataError(
                f"telemetry.parquet: machine {item.machine}, {item.sensor}: not judged: {item.reason}",
                hint="without --strict the others go on",
            )


def _count_machines(path: Path) -> int:
    from pdm_cli import tables
    from pdm_cli.schema import MACHINE

    # Row groups hold whole machines, so no machine is counted twice.
    groups = (tables.read_row_group(path, group, [MACHINE]) for group in range(tables.count_row_groups(path)))
    return sum(int(group[MACHINE].nunique()) for group in groups)


class _Tally:
    """Counts by sensor, by machine, and of what was not judged."""

    def __init__(self) -> None:
        self._sensors: dict[str, dict[str, int]] = {}
        self._machines: Counter[Any] = Counter()
        self._skipped: list[dict[str, Any]] = []

    def add(self, found: list[Found]) -> int:
        """Count a row group's series and return its number of machines."""
        for item in found:
            facts = self._sensors.setdefault(
                item.sensor, dict.fromkeys(("series", "judged", "anomalies", "skipped"), 0)
            )
            facts["judged"] += item.judged
            facts["anomalies"] += len(item.anomalies)
            self._machines[item.machine] += len(item.anomalies)
            if item.reason is None:
                facts["series"] += 1
                continue
            facts["skipped"] += 1
            self._skipped.append({"machineID": item.machine, "sensor": item.sensor, "reason": item.reason})
        return len({item.machine for item in found})

    def summary(self) -> dict[str, Any]:
        """Return the counts in JSON types."""
        worst = [(machine, count) for machine, count in self._machines.most_common(_WORST_MACHINES) if count]
        return {
            "sensors": self._sensors,
            "machines": [{"machineID": machine, "anomalies": count} for machine, count in worst],
            "skipped": self._skipped,
        }
