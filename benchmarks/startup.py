"""How long pdm --help takes, beside a bare Python and one that imports Typer: python -m benchmarks.startup."""

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
    # In turn, so that all meet the same machine.
    rounds = [{name: seconds(words) for name, words in COMMANDS.items()} for _ in range(RUNS + 1)][1:]
    for name in COMMANDS:
        runs = [one[name] for one in rounds]
        print(f"{name:13}{statistics.median(runs):7.3f} s median of {RUNS}{min(runs):7.3f} s least")
    ratio = statistics.median(one["pdm --help"] / one["import typer"] for one in rounds)
    print(f"pdm --help takes {ratio:.1f} times as long as importing Typer")


if __name__ == "__main__":
    main()
