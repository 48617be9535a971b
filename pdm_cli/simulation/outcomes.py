"""What came of a work list, by the answer key of a simulated fleet."""

from __future__ import annotations

import pandas as pd

from pdm_cli.schema import MACHINE, TIME


def match_outcomes(worklist: pd.DataFrame, truth: pd.DataFrame, *, end: pd.Timestamp) -> pd.DataFrame:
    """Return every line of the work list with the failure that came, and the failures that no line foretold.

    Parameters
    ----------
    worklist : DataFrame
        ``rank, machineID, component, since`` (UTC), one row a machine and component.
    truth : DataFrame
        The answer key, columns as in `pdm_cli.schema.TRUTH`.
    end : Timestamp
        Last reading that the work list knew; later failures are what it is about.

    Returns
    -------
    DataFrame
        ``rank`` (Int64, missing where the failure was not foretold), ``machineID``, ``component``, ``failed`` (UTC,
        missing where none came), ``warning_hours`` from the alert to the failure, and of the failure's shift
        ``sensor``, ``step`` (in its unit) and ``shifted_since``. By rank, then time of the failure, then machine.
    """
    coming = truth[truth["fails"] & (truth["until"] > end)].rename(columns={"until": "failed", TIME: "shifted_since"})
    foretold = worklist[["rank", MACHINE, "component", "since"]]
    outcomes = foretold.merge(coming, on=[MACHINE, "component"], how="outer")
    outcomes["warning_hours"] = (outcomes["failed"] - outcomes.pop("since")).dt.total_seconds() / 3600.0
    outcomes["rank"] = outcomes["rank"].astype("Int64")
    columns = ["rank", MACHINE, "component", "failed", "warning_hours", "sensor", "step", "shifted_since"]
    return outcomes.sort_values(["rank", "failed", MACHINE], ignore_index=True)[columns]
