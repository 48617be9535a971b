"""Time of pdm --help, compared with bare Python and with importing Typer: ``python -m benchmarks.startup``."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 10
COMMANDS = {
    "pdm --help": ("-m", "pdm_cli", "--help"),
    "import typer": ("-c", "import typer"),
    "pass": ("-c", "pass"),
}


def seconds(words: tuple[str, ...]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> None:
    # Interleaved, so that load on the machine affects all of them alike.
    rounds = [{name: seconds(words) for name, words in COMMANDS.items()} for _ in range(RUNS + 1)][1:]
    for name in COMMANDS:
        runs = [one[name] for one in rounds]
        print(f"{name:13}{statistics.median(runs):7.3f} s median of {RUNS}{min(runs):7.3f} s minimum")
    ratio = statistics.median(one["pdm --help"] / one["import typer"] for one in rounds)
    print(f"pdm --help takes {ratio:.1f} times as long as importing Typer")


if __name__ == "__main__":
    main()
