"""Raw tables for benchmarks: the reference set if PDM_CLI_REFERENCE is set, else a simulated fleet of that size."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

from pdm_cli.pipeline.simulate import simulate_blocks, write_fleets


@cache
def raw_folder() -> Path:
    shared = os.environ.get("PDM_CLI_REFERENCE")
    if shared:
        return Path(shared) / "data/azure_pdm"
    folder = Path(tempfile.mkdtemp(prefix="pdm-benchmark-"))
    write_fleets(simulate_blocks(machines=100, days=365, seed=0), folder)
    return folder
