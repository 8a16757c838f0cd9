"""The tables of measurements that are kept in bench/results/, made by the programs that measured them.

    python bench/results.py [NAME ...]          # prints the tables of these files, or of all
    python bench/results.py --roofline          # what a drawing of anatomy.json needs, as JSON
    python bench/anatomy.py digits --json found.json
    python bench/results.py anatomy --keep found.json --command "python bench/anatomy.py digits"

A file holds when and by which command something was measured, on which machine, and what the program wrote to its
``--json``. The documentation's page of benchmarks is made of them.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import anatomy, calls, estimators, peers
from bench.machine import description
from bench.registry import CASES
from bench.rows import all_rows

RESULTS = Path(__file__).resolve().parent / "results"


def tables_of(kept: dict[str, Any]) -> str:
    """Return the tables of a file, and when, how and where that was measured, in Markdown."""
    found = kept["found"]
    table = {"peers": _peers, "calls": _calls, "estimators": estimators.report, "anatomy": _anatomy}[kept["program"]]
    peak = ""
    if "peak" in found:
        peak = "; FMA peak of these cores in the same run: " + ", ".join(
            f"{value:.0f} GFLOP/s in {dtype}" for dtype, value in found["peak"].items())
    return f"{table(found)}\n\n`{kept['command']}`, {kept['date']}: {kept['machine']}; {kept['versions']}{peak}."


def _peers(found: dict[str, Any]) -> str:
    cases = [name for name in CASES if any(f"{name} float32" in side for side in found["medians"]["train"].values())]
    return peers.report(found["medians"], cases, found["peak"])


def _calls(found: dict[str, Any]) -> str:
    rows = all_rows(found["samples"])
    names = {key.split()[0] for key in found["calls"]}
    figures = {key: {role: {int(count): looks for count, looks in times.items()} for role, times in roles.items()}
               for key, roles in found["calls"].items()}
    contest = calls.Contest(found["against"] and Path(found["against"]), ["fastnet", *calls.PACKAGES])
    return calls.report({name: row for name, row in rows.items() if name in names}, figures, found["starts"], contest)


def _anatomy(found: dict[str, Any]) -> str:
    peak = found["peak_of_one_core"]
    return "\n".join(anatomy.report(name, CASES[name], found["dtype"], seconds, found["threads"], peak)
                     for name, seconds in found["cases"].items()).strip()


def roofline(found: dict[str, Any]) -> list[tuple[str, float, float]]:
    """The products of each case of anatomy.json: name, operations per byte, and operations per second."""
    points = []
    for name, seconds in found["cases"].items():
        for part in anatomy.PARTS:
            if part.products:
                size = part.numbers(CASES[name]) * (4 if found["dtype"] == "float32" else 8)
                work = 2 * part.products(CASES[name])
                points.append((f"{name}: {part.name}", work / size, work / seconds[part.name]))
    return points


def copying(found: dict[str, Any]) -> float:
    """Bytes per second that one core copies, the median of what anatomy.json has."""
    itemsize = 4 if found["dtype"] == "float32" else 8
    return median(part.numbers(CASES[name]) * itemsize / seconds[f"bytes of {part.name}"]
                  for name, seconds in found["cases"].items() for part in anatomy.PARTS)


def main() -> None:
    """Print tables, or keep what a program has measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="files of bench/results/, without .json")
    parser.add_argument("--roofline", action="store_true", help="print what a drawing of anatomy.json needs, as JSON")
    parser.add_argument("--keep", type=Path, metavar="FILE",
                        help="keep what the --json of the program NAME has written")
    parser.add_argument("--command", metavar="TEXT", help="the command that has (default: the program by itself)")
    options = parser.parse_args()
    if options.keep:
        if len(options.names) != 1:
            parser.error("--keep needs one NAME")
        name, = options.names
        found = json.loads(options.keep.read_text())
        kept = {"program": name, "command": options.command or f"python bench/{name}.py",
                "date": datetime.date.today().isoformat(),
                "machine": found.get("machine", description()), "versions": peers.versions(["NumPy", "scikit-learn"]),
                "found": found}
        RESULTS.joinpath(f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
        return
    if options.roofline:
        found = json.loads(RESULTS.joinpath("anatomy.json").read_text())["found"]
        print(json.dumps({"peak": found["peak_of_one_core"], "copying": copying(found), "points": roofline(found)}))
        return
    for name in options.names or sorted(path.stem for path in RESULTS.glob("*.json")):
        print(tables_of(json.loads(RESULTS.joinpath(f"{name}.json").read_text())), end="\n\n")


if __name__ == "__main__":
    main()
