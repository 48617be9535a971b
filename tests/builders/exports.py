"""Small exports of the shapes that the recipes of docs/import.md are about, with failures that show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

# The words of the work orders.
COMPONENTS = "word,component\nlager,bearing\nglrd,seal\n"
FAILURES = {"Lager AS defekt, laut": "vibration", "GLRD undicht; Pumpe steht": "pressure"}


def write_engines(folder: Path) -> None:
    """Write engines until they fail as C-MAPSS has them: text with two blanks at the ends of lines, no header."""
    rng = np.random.default_rng(1)
    for name, engines in (("train_FD001.txt", 12), ("test_FD001.txt", 2)):
        with (folder / name).open("w", encoding="ascii") as file:
            for engine in range(1, engines + 1):
                cycles = int(rng.integers(120, 180))
                wear = np.clip((np.arange(cycles) - cycles + 60) / 60, 0, 1) ** 2
                readings = rng.normal(500, 1, (cycles, 21)) + np.outer(wear, [8] * 4 + [0] * 17)
                settings = rng.normal(0, 0.002, (cycles, 3))
                for cycle in range(cycles):
                    values = " ".join(f"{value:.4f}" for value in (*settings[cycle], *readings[cycle]))
                    file.write(f"{engine} {cycle + 1} {values}  \n")


def write_drives(folder: Path) -> None:
    """Write a file per day with a row per drive; drives are missing after the day on which they failed."""
    rng = np.random.default_rng(2)
    drives, days = 30, 90
    ends = {drive: int(rng.integers(30, days)) for drive in range(0, drives, 2)}
    for day in range(days):
        date = (pd.Timestamp("2013-04-10") + pd.Timedelta(days=day)).strftime("%Y-%m-%d")
        lines = ["date,serial_number,model,capacity_bytes,failure,smart_5_raw,smart_194_raw"]
        for drive in range(drives):
            end = ends.get(drive, days)
            if day <= end:
                sectors = max(0, day - end + 10) * 40 + int(rng.integers(0, 5))
                row = f"ST3000,3000592982016,{int(day == end)},{sectors},{int(rng.integers(20, 30))}"
                lines.append(f"{date},W1F0{drive:03},{row}")
        (folder / f"{date}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_plant(folder: Path) -> None:
    """Write the long form of a historian, work orders and equipment in cp1252 with decimal commas."""
    rng = np.random.default_rng(3)
    times = pd.date_range("2023-01-01", periods=120 * 24, freq="h")
    dates = times.strftime("%d.%m.%Y %H:%M:%S")
    log, orders = ["Tag;Timestamp;Value"], ["Auftrag;Auftragsart;Technischer Platz;Kurztext;Stoerungsbeginn"]
    for pump in ("P-101", "P-102", "P-103", "P-104"):
        series = {name: rng.normal(20, 1, len(times)) for name in FAILURES.values()}
        for number, row in enumerate(range(200, len(times), 230)):
            text = list(FAILURES)[number % 2]
            series[FAILURES[text]][row - 72 : row] += np.linspace(0, 8, 72)
            orders.append(f'{len(orders)};M2 breakdown;{pump};"{text}";{dates[row]}')
            orders.append(f"{len(orders)};M1 preventive;{pump};Öl gewechselt;{dates[row + 50 - number]}")
        for name, unit in (("vibration", "mm/s"), ("pressure", "°bar")):
            for row, value in enumerate(series[name]):
                shown = "Bad Input" if row % 500 == 7 else f"{value:.3f}".replace(".", ",")
                log.append(f"{pump}.{name} [{unit}];{dates[row]};{shown}")
    equipment = ["Technischer Platz;Baujahr", *(f"P-{number};{1904 + number}" for number in range(101, 105))]
    for name, lines in (("historian_export", log), ("SAP_Auftraege", orders), ("Equipments", equipment)):
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="cp1252")
    (folder.parent / "components.csv").write_text(COMPONENTS, encoding="utf-8")
