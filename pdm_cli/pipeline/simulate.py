"""Write simulated fleets as raw tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pdm_cli.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

    from pdm_cli.io.manifest import Provenance
    from pdm_cli.simulation.tables import Fleet


# Rows per row group (or one machine), and rows simulated at a time.
GROUP_ROWS = 100_000


def fleet_provenance(*, machines: int, days: int, seed: int, profile: str | None = None) -> Provenance:
    """Return everything that determines the bytes of a simulated fleet."""
    from pdm_cli.io import manifest

    parameters = {"simulate": {"machines": machines, "days": days, "seed": seed, **_describe_profile(profile)}}
    return manifest.Provenance("simulate", parameters, {}, manifest.library_versions(), manifest.code_hash())


def simulate_into(
    folder: Path, *, machines: int, days: int, seed: int, profile: str | None = None, progress: Progress
) -> dict[str, Any]:
    """Write a fleet and its manifest to ``folder``, replacing earlier output, and return the summary."""
    from pdm_cli.io import output_folder
    from pdm_cli.text import show_count

    start = time.monotonic()
    progress.info(f"simulate: {show_count(machines, 'machine')} for {show_count(days, 'day')}")
    provenance = fleet_provenance(machines=machines, days=days, seed=seed, profile=profile)
    with (
        output_folder.output_folder(folder, provenance) as partial,
        progress.track("simulate: machines", machines) as advance,
    ):
        blocks = simulate_blocks(machines=machines, days=days, seed=seed, profile=profile)
        written = write_fleets(blocks, partial, advance=advance)
    progress.info(f"simulate: wrote {folder} in {time.monotonic() - start:.1f} s")
    described = {"machines": machines, "days": days, "seed": seed, **_describe_profile(profile)}
    return {"schema": "pdm.simulate/1", **described, **written}


def _describe_profile(profile: str | None) -> dict[str, str]:
    return {} if profile is None else {"profile": profile}


def simulate_blocks(*, machines: int, days: int, seed: int, profile: str | None = None) -> Iterator[Fleet]:
    """Yield a fleet in blocks of whole machines, in order, about ``GROUP_ROWS`` rows of telemetry each."""
    from pdm_cli.simulation.fleet import simulate_machines

    size = max(1, GROUP_ROWS // (days * 24 + 1))
    for first in range(1, machines + 1, size):
        yield simulate_machines(range(first, min(first + size, machines + 1)), days=days, seed=seed, profile=profile)


def write_fleet(fleet: Fleet, folder: Path) -> None:
    """Write a fleet in memory as raw tables with the ground truth."""
    folder.mkdir(parents=True, exist_ok=True)
    write_fleets([fleet], folder)


def write_fleets(
    blocks: Iterable[Fleet], folder: Path, *, advance: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """Write blocks of a fleet one after the other; the size of the blocks changes no byte.

    Parameters
    ----------
    blocks : iterable of Fleet
        Whole machines, in order; at least one block.
    folder : Path
        Folder for the tables.
    advance : callable
        Called with the machines just written.

    Returns
    -------
    dict
        ``rows`` of each table, and the number of machines with ``no_failure``.
    """
    from dataclasses import fields

    from pdm_cli.simulation.tables import Fleet

    names = [table.name for table in fields(Fleet)]
    no_failure = 0
    with ExitStack() as stack:
        groups = {name: stack.enter_context(_RowGroups(folder / f"{name}.parquet")) for name in names}
        for block in blocks:
            for name, group in groups.items():
                group.add(getattr(block, name))
            no_failure += len(block.machines) - block.failures["machineID"].nunique()
            advance(len(block.machines))
    return {"rows": {name: group.rows for name, group in groups.items()}, "no_failure": no_failure}


class _RowGroups:
    """Collect the rows of one table until they fill a row group of whole machines."""

    def __init__(self, path: Path) -> None:
        from pdm_cli.io.parquet import TableWriter

        self._writer = TableWriter(path)
        self._held: list[pd.DataFrame] = []
        self._size = 0

    @property
    def rows(self) -> int:
        """Rows written."""
        return self._writer.rows

    def add(self, frame: pd.DataFrame) -> None:
        """Append the rows of some machines."""
        from pdm_cli.io.raw import pack_machines

        self._held.append(frame)
        self._size += len(frame)
        if self._size > GROUP_ROWS:
            # The last one may still grow.
            *full, rest = pack_machines(self._held, GROUP_ROWS)
            for group in full:
                self._writer.write(group)
            self._held, self._size = [rest], len(rest)

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import pandas as pd

        with self._writer:
            if kind is None:
                self._writer.write(pd.concat(self._held, ignore_index=True))
