"""Import of long telemetry, compared with DuckDB's own COPY of the same rows: ``python -m benchmarks.importing``.

Each side runs in a process of its own. DuckDB is given types, date format and tags; pdm finds them and checks all rows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROUNDS = 3
MACHINES, SENSORS = 20, ["VIB", "TEMP", "PRES", "CURR", "FLOW"]
ROWS = 10_000_000
# Bounds: a multiple of the times of DuckDB, and MB.
MOST_RATIO, MOST_MEMORY = 1.5, 1000
READINGS = ROWS // (MACHINES * len(SENSORS))
COPY = """
import duckdb

rows = '''
    SELECT Timestamp AS datetime, split_part(Tag, '.', 1) AS machineID, split_part(Tag, '.', 2) AS sensor, Value
    FROM read_csv('{log}', delim = ';', header = true, auto_detect = false, decimal_separator = ',',
        timestampformat = '%d.%m.%Y %H:%M:%S',
        columns = {{'Tag': 'VARCHAR', 'Timestamp': 'TIMESTAMP', 'Value': 'DOUBLE'}})
'''
values = ", ".join(f"max(Value) FILTER (sensor = '{{name}}') AS {{name}}" for name in {sensors!r})
wide = f"SELECT datetime, machineID, {{values}} FROM ({{rows}}) GROUP BY ALL ORDER BY machineID, datetime"
duckdb.execute("SET memory_limit = '600MB'")
duckdb.execute(f"COPY ({{wide}}) TO '{out}' (COMPRESSION zstd)")
"""


def write_log(folder: Path) -> None:
    """Write a row per tag and time, with dates and decimals as a German historian does."""
    rng = np.random.default_rng(0)
    times = np.datetime64("2023-01-01") + np.arange(READINGS) * np.timedelta64(10, "m")
    stamps = [time.strftime("%d.%m.%Y %H:%M:%S") for time in times.astype("datetime64[s]").tolist()]
    with (folder / "telemetry.csv").open("w", encoding="utf-8") as log:
        log.write("Tag;Timestamp;Value\n")
        for machine in range(MACHINES):
            for sensor in SENSORS:
                values = [f"{value:.3f}".replace(".", ",") for value in rng.normal(50, 5, READINGS).tolist()]
                rows = zip(stamps, values, strict=True)
                log.writelines(f"P-{machine}.{sensor};{stamp};{value}\n" for stamp, value in rows)


def run(words: list[str]) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and peak memory in MB of a Python process."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "logs").mkdir()
        write_log(folder / "logs")
        copy = COPY.format(log=folder / "logs/telemetry.csv", out=folder / "copy.parquet", sensors=SENSORS)
        words = [
            "-m",
            "pdm_cli",
            "import",
            str(folder / "logs"),
            "--out",
            str(folder / "raw"),
            "--overwrite",
            "--quiet",
        ]
        words += ["--long", "Tag", "Value", "--tags", "{machine}.{sensor}", "--decimal", ","]
        words += ["--columns", "telemetry.datetime=Timestamp"]
        # Interleaved, so that load on the machine affects both alike.
        rounds = [(run(words), run(["-c", copy])) for _ in range(ROUNDS)]
    peaks = []
    for number, side in enumerate(("pdm import", "DuckDB COPY")):
        wall, cpu, memory = (float(np.median([one[number][part] for one in rounds])) for part in range(3))
        peaks.append(memory)
        print(f"{side:12}{wall:7.2f} s{cpu:7.2f} CPU s{memory:7.0f} MB")
    holds = []
    for part, unit in enumerate(("wall time", "CPU time")):
        ratio = float(np.median([one[0][part] / one[1][part] for one in rounds]))
        print(f"pdm import takes {ratio:.2f} times the {unit} of DuckDB's COPY for {ROWS:,} rows")
        holds.append((ratio <= MOST_RATIO, f"{unit} at most {MOST_RATIO} times that of DuckDB's COPY"))
    holds.append((peaks[0] < MOST_MEMORY, f"less than {MOST_MEMORY:,} MB of memory"))
    for is_kept, bound in holds:
        print(f"{'holds' if is_kept else 'FAILS'}: {bound}")


if __name__ == "__main__":
    main()
