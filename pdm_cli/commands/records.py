"""Tables as the records of a summary."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def as_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row a record, in JSON types: stamps as text, missing values as ``None``."""
    records: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", date_format="iso", date_unit="s"))
    return records
