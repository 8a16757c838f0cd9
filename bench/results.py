"""The tables of measurements that are kept in bench/results/, made by the programs that measured them.

    python bench/results.py [NAME ...]          # prints the tables of these files, or of all
    python bench/results.py --short             # the README's table: some whole calls, each side at its best
    python bench/results.py --bars FILE.svg     # the README's picture of these
    python bench/results.py --again [NAME ...]  # measures by the kept commands once more; says how long that will take
    python bench/results.py --roofline          # what a drawing of anatomy.json needs, as JSON
    python bench/results.py --speedups          # what a drawing of dask_rounds.json needs, as JSON
    python bench/anatomy.py digits --json found.json
    python bench/results.py anatomy --keep found.json --command "python bench/anatomy.py digits"

A file holds when and by which command something was measured, on which machine, and what the program wrote to its
``--json``. The documentation's page of benchmarks is made of them.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import anatomy, calls, dask_rounds, estimators, peers
from bench.machine import description
from bench.registry import CASES
from bench.rows import all_rows

SHORT = ("toy", "clusters", "digits-100", "cifar-default", "cifar-uint8", "cifar-one-thread", "solver-digits-sgd",
         "solver-digits-adam", "early-stopping", "partial-fit-32", "lbfgs", "loss-digits", "loss-cifar", "predict-1",
         "predict-397")
"""The rows of the README: some of each kind, those where fastnet is behind among them."""

RESULTS = Path(__file__).resolve().parent / "results"


def tables_of(kept: dict[str, Any]) -> str:
    """Return the tables of a file, and when, how and where that was measured, in Markdown."""
    found = kept["found"]
    table = {"peers": _peers, "calls": _calls, "estimators": estimators.report, "anatomy": _anatomy,
             "dask_rounds": dask_rounds.report}[kept["program"]]
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


def _best(found: dict[str, Any]) -> dict[str, tuple[Any, float, float]]:
    """The rows of `SHORT`: the row, and the seconds of the other side and of fastnet, at its best number of threads."""
    rows, best = all_rows(found["samples"]), {}
    for name in SHORT:
        roles = found["calls"].get(f"{name} float64")
        if roles:
            theirs, ours = (min(median(looks) for looks in roles[role].values()) for role in ("other", "ours"))
            best[name] = rows[name], theirs, ours
    return best


def short(found: dict[str, Any]) -> str:
    """The README's table."""
    lines = [[row.what, row.peer, calls.duration(theirs), calls.duration(ours), f"**{theirs / ours:.2f}**"]
             for row, theirs, ours in _best(found).values()]
    return calls.markdown(["call, float64", "beside"], ["its time", "fastnet", "times as fast"], lines)


def bars(found: dict[str, Any], path: Path) -> None:
    """Draw how many times as fast these calls are."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "fastnet", "svg.fonttype": "none"})  # the same file for the same figures
    from matplotlib import pyplot

    best = list(_best(found).values())[::-1]
    ratios = [theirs / ours for _, theirs, ours in best]
    figure, axes = pyplot.subplots(figsize=(9, 0.32 * len(best) + 0.8), layout="constrained")
    shown = axes.barh([row.what.replace("`", "") for row, _, _ in best], [ratio - 1 for ratio in ratios], left=1,
                      color=["#2a7f62" if ratio >= 1 else "#b5523b" for ratio in ratios])
    axes.bar_label(shown, [f"{ratio:.2g}" for ratio in ratios], padding=3, fontsize=8)
    axes.axvline(1, color="black", linewidth=0.8)
    ticks = [0.5, 1, 2, 5, 10, 20]
    axes.set(xscale="log", xlim=(0.4, 40), xticks=ticks, xticklabels=[f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    figure.suptitle("Times as fast as NumPy or scikit-learn, each at its best number of threads", fontsize=10)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="svg", metadata={"Date": None}, facecolor="white")
    pyplot.close(figure)


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


def keep(name: str, found: dict[str, Any], command: str, seconds: int | None = None) -> None:
    """Write a file of bench/results/: what a program has found by a command, in so many seconds."""
    kept = {"program": name, "command": command, "seconds": seconds, "date": datetime.date.today().isoformat(),
            "machine": found.get("machine", description()),
            "versions": found.get("versions", peers.versions(["NumPy", "scikit-learn"])), "found": found}
    RESULTS.joinpath(f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")


def again(name: str) -> None:
    """Measure once more by the command that a file was made by, and keep what comes."""
    kept = json.loads(RESULTS.joinpath(f"{name}.json").read_text())
    long = f"took {kept['seconds'] / 60:.0f} minutes" if kept.get("seconds") else "nobody has noted how long that takes"
    print(f"{name}: {kept['command']} ({long})", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        written, start = Path(folder) / "found.json", time.monotonic()
        subprocess.run([sys.executable, *shlex.split(kept["command"])[1:], "--json", written], check=True,
                       cwd=RESULTS.parent.parent, stdout=subprocess.DEVNULL)
        keep(name, json.loads(written.read_text()), kept["command"], round(time.monotonic() - start))


def main() -> None:
    """Print tables, or keep what a program has measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="files of bench/results/, without .json")
    parser.add_argument("--again", action="store_true", help="measure once more by the commands that are kept")
    parser.add_argument("--short", action="store_true", help="print the README's table of calls.json")
    parser.add_argument("--bars", type=Path, metavar="FILE", help="draw the README's picture of calls.json, as SVG")
    parser.add_argument("--roofline", action="store_true", help="print what a drawing of anatomy.json needs, as JSON")
    parser.add_argument("--speedups", action="store_true", help="print what a drawing of dask_rounds.json needs")
    parser.add_argument("--keep", type=Path, metavar="FILE",
                        help="keep what the --json of the program NAME has written")
    parser.add_argument("--command", metavar="TEXT", help="the command that has (default: the program by itself)")
    options = parser.parse_args()
    if options.keep:
        if len(options.names) != 1:
            parser.error("--keep needs one NAME")
        name, = options.names
        keep(name, json.loads(options.keep.read_text()), options.command or f"python bench/{name}.py")
        return
    if options.short or options.bars:
        found = json.loads(RESULTS.joinpath("calls.json").read_text())["found"]
        if options.bars:
            bars(found, options.bars)
        if options.short:
            print(short(found))
        return
    if options.roofline:
        found = json.loads(RESULTS.joinpath("anatomy.json").read_text())["found"]
        print(json.dumps({"peak": found["peak_of_one_core"], "copying": copying(found), "points": roofline(found)}))
        return
    if options.speedups:
        print(json.dumps(dask_rounds.curves(json.loads(RESULTS.joinpath("dask_rounds.json").read_text())["found"])))
        return
    for name in options.names or sorted(path.stem for path in RESULTS.glob("*.json")):
        if options.again:
            again(name)
        print(tables_of(json.loads(RESULTS.joinpath(f"{name}.json").read_text())), end="\n\n")


if __name__ == "__main__":
    main()
