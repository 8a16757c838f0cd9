"""Cycles that a term of a tile's sum takes on processors that are not at hand: what llvm-mca makes of the inner loops.

    python bench/tile_cycles.py [--mca PROGRAM] [--processors NAME ...] [--shapes 4x4 ...] [--markdown FILE]

The tiles are compiled for 64-bit Arm, on whatever machine this runs, and the loops over the terms are given to llvm-mca
(part of LLVM; 19 or newer knows the processors below), which simulates the pipes of a processor by LLVM's tables, with
all data in the first-level cache. So these are figures on paper: they compare shapes, and say nothing of memory. Shapes
other than today's are tried as tiles of the same kind. Of Apple's cores LLVM has no table.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
from llvmlite import ir

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fastnet.llvm import tile
from fastnet.llvm.target import _TARGETS, Target

NEON = _TARGETS["neon"]

TRIPLE = "aarch64-unknown-linux-gnu"

PIPES = {"neoverse-n1": 2, "neoverse-v1": 4, "neoverse-v2": 4}
"""Vector multiply-adds that begin in a cycle, as the optimization guides of these processors have it."""

SHAPES = ["4x4", "4x3", "4x2", "4x1", "2x4", "1x4", "1x8", "8x3", "8x2", "8x1"]

TURNS = 200

ELEMENTS = {"float32": ir.FloatType(), "float64": ir.DoubleType()}


def assembly(shape: tuple[int, int], dtype: str, processor: str = "neoverse-n1", isa: Target = NEON) -> str:
    """Return a tile, its rows and vectors given, in the assembly of a 64-bit Arm processor."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    source = ir.Module()
    tile._defined_tile(source, ELEMENTS[dtype], *shape, isa)
    module = llvm.parse_assembly(str(source))
    module.triple = TRIPLE
    machine = llvm.Target.from_triple(TRIPLE).create_target_machine(cpu=processor, opt=3, jit=True)
    module.data_layout = str(machine.target_data)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    return machine.emit_assembly(module)


def sum_loops(text: str) -> list[list[str]]:
    """Return the innermost loops that multiply and add, as lines of assembly: each begins with its label."""
    lines = [line.split("//")[0].strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith((".cfi", ".p2align"))]
    labels = {line[:-1]: at for at, line in enumerate(lines) if line.endswith(":")}
    ends = {(labels[target], end) for end, line in enumerate(lines) for target in line.split()[-1:]
            if is_branch(line) and labels.get(target, end + 1) <= end}
    inner = [(start, end) for start, end in ends
             if not any((start, end) != other and start <= other[0] and other[1] <= end for other in ends)]
    loops = [lines[start:end + 1] for start, end in sorted(inner)]
    return [loop for loop in loops if any(line.startswith("fmla") for line in loop)]


def is_branch(line: str) -> bool:
    """Whether an instruction may go on elsewhere."""
    return re.match(r"(b|b\.\w+|cbn?z|tbn?z)\s", line) is not None


def cycles(program: str, processor: str, loop: list[str]) -> float:
    """Cycles that a turn of a loop takes."""
    done = subprocess.run([program, f"-mtriple={TRIPLE}", f"-mcpu={processor}", f"-iterations={TURNS}"],
                          input="\n".join(loop), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{program} failed:\n{done.stderr[-2000:]}")
    return int(re.search(r"Total Cycles:\s+(\d+)", done.stdout).group(1)) / TURNS


def rows(program: str, shape: tuple[int, int], dtype: str, processors: list[str]) -> list[str]:
    """Return the lines of a shape in the table: cycles a term, and the part of the multiply-adds that could be made."""
    full, part = [], []
    isa = NEON._replace(max_rows=max(shape[0], NEON.max_rows))
    for processor in processors:
        found = [cycles(program, processor, loop) for loop in sum_loops(assembly(shape, dtype, processor, isa))]
        best = shape[0] * shape[1] / PIPES[processor]
        full.append(f"{min(found):.2f} ({100 * best / min(found):.0f} %)")
        part.append(f"{max(found):.2f}")
    name = f"{shape[0]}x{shape[1]}"
    lines = [[name, dtype, *full]]
    if shape[1] == 1:  # a loop of its own, where the vector is not full
        lines.append([f"{name}, part of a vector", dtype, *part])
    return [f"| {' | '.join(cells)} |" for cells in lines]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Cycles a term of each tile, on paper.")
    parser.add_argument("--mca", metavar="PROGRAM", default="llvm-mca", help="19 or newer (default: llvm-mca)")
    parser.add_argument("--processors", nargs="+", choices=PIPES, default=list(PIPES), metavar="NAME")
    parser.add_argument("--shapes", nargs="+", default=SHAPES, metavar="ROWSxVECTORS")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table to FILE")
    options = parser.parse_args()
    if shutil.which(options.mca) is None:
        parser.error(f"no program {options.mca}: llvm-mca is part of LLVM")
    shapes = [tuple(map(int, shape.split("x"))) for shape in options.shapes]
    lines = [f"| tile | dtype | {' | '.join(options.processors)} |", "|---|---|" + "--:|" * len(options.processors)]
    for dtype in ELEMENTS:
        for shape in shapes:
            lines += rows(options.mca, shape, dtype, options.processors)
    print("\n".join(lines))
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
