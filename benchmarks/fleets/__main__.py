"""Average precision of pdm and of other tools on many fleets: ``python -m benchmarks.fleets``.

All tools predict the same rows with the same labels and splits. Results are kept in a folder, so that an interrupted
comparison resumes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fleets.compare import Scored, compare, score, span_labels
from benchmarks.fleets.sets import OpenSet, list_sets
from benchmarks.fleets.tools import Prediction, Tool, find_tools
from pdm_cli.errors import PdmError
from pdm_cli.evaluation.metrics import f1_threshold
from pdm_cli.io import manifest

PDM_TOOLS = ("pdm-fast", "pdm")
OPTIONAL_TOOLS = ("autogluon-level",)
COLUMNS = ("AP", "F1", "caught", "false*", "seconds")


@dataclass(frozen=True)
class Store:
    """Results as JSON lines, and the predictions that they were computed from."""

    folder: Path

    def read(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the newest result of each set and tool."""
        path = self.folder / "results.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return {(row["set"], row["tool"]): row for row in map(json.loads, lines)}

    def add(self, row: dict[str, Any], scored: Scored) -> None:
        """Keep a result."""
        arrays = self._arrays(row["set"], row["tool"])
        arrays.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(arrays, labels=scored.labels, probabilities=scored.probabilities, codes=scored.codes)
        with (self.folder / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def predictions(self, set_name: str, tool: str) -> Scored:
        """Return the predictions behind a result."""
        with np.load(self._arrays(set_name, tool)) as arrays:
            return Scored(arrays["labels"], arrays["probabilities"], arrays["codes"])

    def _arrays(self, set_name: str, tool: str) -> Path:
        return self.folder / "predictions" / f"{set_name}-{tool}.npz"


def evaluate(opened: OpenSet, name: str, tools: dict[str, Tool], *, seconds: float) -> tuple[dict[str, Any], Scored]:
    """Train a tool on a set and return its scores and predictions."""
    problem = opened.problem
    start = time.monotonic()
    if name in PDM_TOOLS:
        probabilities, alerts, taken = opened.train_pdm(fast=name == "pdm-fast", seconds=seconds)
    else:
        found = opened.run_tool(tools[name], seconds=seconds / len(problem.components))
        probabilities = np.column_stack([one.tested for one in found])
        alerts = np.column_stack([one.tested >= _threshold(one) for one in found])
        taken = time.monotonic() - start
    labels, codes = span_labels(problem)
    return {**score(problem, probabilities, alerts), "taken": round(taken, 1)}, Scored(labels, probabilities, codes)


def _threshold(prediction: Prediction) -> float:
    """Return the threshold with the best F1 on held-out rows."""
    labels = prediction.held_out_labels
    if not labels.any() or labels.all():
        return 0.5
    return f1_threshold(labels, prediction.held_out)


def run_set(opened: OpenSet, names: list[str], tools: dict[str, Tool], store: Store, *, seconds: float) -> None:
    """Run the tools that have no result on these rows yet."""
    known = store.read()
    for name in names:
        key = [opened.key, seconds, manifest.code_hash() if name in PDM_TOOLS else None]
        row = known.get((opened.fleet.name, name))
        if row is not None and row["key"] == key:
            continue
        scores, scored = evaluate(opened, name, tools, seconds=seconds)
        store.add({"set": opened.fleet.name, "tool": name, "key": key, **scores}, scored)
        print(f"{opened.fleet.name:18}{name:18}{_cells(scores)}", flush=True)


def _cells(row: dict[str, Any]) -> str:
    ap, f1, false = (
        "-" if row[name] is None else f"{row[name]:.3f}"
        for name in ("average_precision", "f1", "false_alarms_per_machine_month")
    )
    return f"{ap:>8}{f1:>8}{row['caught']:>6} of {row['failures']:<4}{false:>8}{row['taken']:>9.1f}"


def show(store: Store, sets: list[str], names: list[str]) -> None:
    """Print all results, the mean of each tool, and pdm's gain over the best other tool."""
    rows = {key: row for key, row in store.read().items() if key[0] in sets and key[1] in names}
    print(f"\n{'set':18}{'tool':18}" + "".join(f"{name:>8}" for name in COLUMNS))
    for set_name in sets:
        for name in names:
            if (row := rows.get((set_name, name))) is not None:
                print(f"{set_name:18}{name:18}{_cells(row)}")
    print("* false alarms per machine-month, all components together")
    common = [one for one in sets if all((one, name) in rows for name in names)]
    if not common:
        return
    means = {name: _mean(rows, common, name) for name in names}
    print(f"\nmean AP over {len(common)} sets: " + ", ".join(f"{name} {mean:.3f}" for name, mean in means.items()))
    others = [name for name in names if name not in PDM_TOOLS]
    if others:
        best = max(others, key=means.__getitem__)
        theirs = {one: store.predictions(one, best) for one in common}
        for name in (name for name in names if name in PDM_TOOLS):
            gain, lower = compare({one: store.predictions(one, name) for one in common}, theirs)
            print(f"{name} minus {best}: {gain:+.3f}, lower bound {lower:+.3f} (bootstrap over machines, 95 %)")


def _mean(rows: dict[tuple[str, str], dict[str, Any]], sets: list[str], name: str) -> float:
    found: NDArray[np.float64] = np.array([rows[one, name]["average_precision"] for one in sets], dtype=np.float64)
    return float(np.nanmean(found))


def read_arguments(words: list[str]) -> argparse.Namespace:
    """Parse and check the command line."""
    sets, tools = list_sets(), [*PDM_TOOLS, *find_tools("")]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleets", description=__doc__)
    parser.add_argument("--sets", type=lambda text: text.split(","), default=list(sets), help="names, with commas")
    parser.add_argument("--tools", type=lambda text: text.split(","), help=f"of {', '.join(tools)}")
    parser.add_argument("--seconds", type=float, default=120.0, help="search of a tool, per set [default: 120]")
    parser.add_argument("--folder", type=Path, default=Path("fleets"), help="where results are kept")
    parser.add_argument("--all", action="store_true", help="include AutoGluon")
    parser.add_argument("--autogluon-python", default=sys.executable, help="interpreter that has AutoGluon")
    arguments = parser.parse_args(words)
    if arguments.tools is None:
        arguments.tools = [name for name in tools if arguments.all or name not in OPTIONAL_TOOLS]
    for option, given, known in (("--sets", arguments.sets, sets), ("--tools", arguments.tools, tools)):
        if unknown := [name for name in given if name not in known]:
            parser.error(f"{option}: unknown {', '.join(unknown)}; known: {', '.join(known)}")
    return arguments


def main() -> None:
    arguments = read_arguments(sys.argv[1:])
    store, sets, tools = Store(arguments.folder), list_sets(), find_tools(arguments.autogluon_python)
    for name in arguments.sets:
        try:
            opened = sets[name].open(arguments.folder / "sets")
            run_set(opened, arguments.tools, tools, store, seconds=arguments.seconds)
        except PdmError as error:
            print(f"{name:18}pdm failed: {error}", flush=True)
    show(store, arguments.sets, arguments.tools)


if __name__ == "__main__":
    main()
