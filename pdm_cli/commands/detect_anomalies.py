"""``pdm detect-anomalies``: prepared telemetry to a table of anomalies."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pdm_cli.commands.options import Out, Overwrite, input_port, with_settings
from pdm_cli.commands.stages import STAGES
from pdm_cli.params import DetectParams, Settings
from pdm_cli.report.screen import Screen

if TYPE_CHECKING:
    import pandas as pd

    from pdm_cli.commands.execution import Task
    from pdm_cli.core.detectors import Series

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
    from pdm_cli.core.detectors import DETECTORS
    from pdm_cli.schema import ANOMALIES, TELEMETRY

    params = task.settings.detect
    path = tables.require_file(task.inputs["prepared"], TELEMETRY)
    groups = tables.count_row_groups(path)
    series: list[Series] = []
    causal = "true" if DETECTORS[params.detector].is_causal else "false"
    with (
        tables.TableWriter(task.out / ANOMALIES.file, {"causal": causal, "detector": params.detector}) as writer,
        task.screen.progress("detect-anomalies: machines", _count_machines(path)) as advance,
        _workers(min(params.jobs or os.cpu_count() or 1, groups)) as run,
    ):
        for anomalies, outcomes in run(_detect_group, [(path, group, params) for group in range(groups)]):
            writer.write(anomalies)
            series += outcomes
            advance(len({outcome.machine for outcome in outcomes}))
    return {"schema": "pdm.anomalies/1", "causal": causal == "true", **_summarise(series)}


def _detect_group(work: tuple[Path, int, DetectParams]) -> tuple[pd.DataFrame, list[Series]]:
    """Detect in one row group; runs in a worker, which reads its own machines."""
    from pdm_cli import tables
    from pdm_cli.core.detectors import find_anomalies

    path, group, params = work
    telemetry = tables.read_row_group(path, group)
    return find_anomalies(telemetry, step_us=tables.read_step(path), params=params)


@contextmanager
def _workers(count: int) -> Iterator[Any]:
    """Give a ``map`` over this process, or over workers that keep the order of the results."""
    if count <= 1:
        yield map
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # Fresh processes, as forking one that has threads (Arrow's) may hang.
    executor = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_ignore_interrupts)
    try:
        yield executor.map
    finally:
        executor.shutdown(cancel_futures=True)


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent: it ends the workers and says one line."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _count_machines(path: Path) -> int:
    from pdm_cli import tables
    from pdm_cli.schema import MACHINE

    return int(tables.read_frame(path, [MACHINE])[MACHINE].nunique())


def _summarise(series: list[Series]) -> dict[str, Any]:
    sensors: dict[str, dict[str, int]] = {}
    machines: Counter[Any] = Counter()
    skipped: dict[tuple[str, str], dict[str, Any]] = {}
    for item in series:
        facts = sensors.setdefault(item.sensor, {"series": 0, "readings": 0, "anomalies": 0, "skipped": 0})
        facts["series"] += item.reason is None
        facts["skipped"] += item.reason is not None
        facts["readings"] += item.readings
        facts["anomalies"] += item.anomalies
        machines[item.machine] += item.anomalies
        if item.reason is not None:
            first = {"machineID": item.machine, "sensor": item.sensor, "reason": item.reason, "series": 0}
            skipped.setdefault((item.sensor, item.reason), first)["series"] += 1
    worst = [(machine, count) for machine, count in machines.most_common(_WORST_MACHINES) if count]
    return {
        "sensors": sensors,
        "machines": [{"machineID": machine, "anomalies": count} for machine, count in worst],
        "skipped": list(skipped.values()),
    }
