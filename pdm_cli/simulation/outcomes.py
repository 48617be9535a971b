"""Outcomes of a work list, from the ground truth of a simulated fleet."""

from __future__ import annotations

import pandas as pd

from pdm_cli.schema import MACHINE, TIME


def match_outcomes(worklist: pd.DataFrame, truth: pd.DataFrame, *, end: pd.Timestamp) -> pd.DataFrame:
    """Return every line of the work list with its failure, if any, and the failures that it missed.

    Parameters
    ----------
    worklist : DataFrame
        ``rank, machineID, component, since`` (UTC), one row per machine and component.
    truth : DataFrame
        The ground truth, columns as in `pdm_cli.schema.TRUTH`.
    end : Timestamp
        Last reading known to the work list; only later failures count.

    Returns
    -------
    DataFrame
        ``rank`` (Int64, missing where the failure was missed), ``machineID``, ``component``, ``failed`` (UTC, missing
        without a failure), ``warning_hours`` from the alert to the failure, and ``sensor``, ``step`` (in its unit) and
        ``shifted_since`` of the failure's shift. By rank, then time of the failure, then machine.
    """
    coming = truth[truth["fails"] & (truth["until"] > end)].rename(columns={"until": "failed", TIME: "shifted_since"})
    predicted = worklist[["rank", MACHINE, "component", "since"]]
    outcomes = predicted.merge(coming, on=[MACHINE, "component"], how="outer")
    outcomes["warning_hours"] = (outcomes["failed"] - outcomes.pop("since")).dt.total_seconds() / 3600.0
    outcomes["rank"] = outcomes["rank"].astype("Int64")
    columns = ["rank", MACHINE, "component", "failed", "warning_hours", "sensor", "step", "shifted_since"]
    return outcomes.sort_values(["rank", "failed", MACHINE], ignore_index=True)[columns]
