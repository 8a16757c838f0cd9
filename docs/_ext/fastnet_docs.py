"""Directives of this site: public names, the command line's help, tables and drawings of benchmarks."""

from __future__ import annotations

import dataclasses
import html
import inspect
import json
import math
import os
import subprocess
import sys
import zlib
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

DOCS = Path(__file__).resolve().parent.parent
RESULTS = DOCS.parent / "bench" / "results"


def results(*arguments: str) -> str:
    """What bench/results.py prints. It needs a process of its own, with compilation: cases are smaller without."""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_DISABLE_JIT"}
    done = subprocess.run([sys.executable, RESULTS.with_suffix(".py"), *arguments], capture_output=True, text=True,
                          check=False, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def documented_names(module: Any) -> list[str]:
    """The public names of a module that its page describes: those that are not modules, or taken from elsewhere."""
    if not hasattr(module, "__all__"):
        return []
    names = [name for name in module.__all__ if not inspect.ismodule(getattr(module, name)) and name != "__version__"]
    # What these are made of is inside.
    if module.__name__ in ("fastnet", "fastnet.dask", "fastnet.sklearn", "fastnet.storage"):
        return names
    return [name for name in names if getattr(getattr(module, name), "__module__", module.__name__) == module.__name__]


def own_members(cls: type) -> list[str]:
    """The public methods and properties of a class that are fastnet's, its own and those of its bases."""
    def ours(thing: Any) -> bool:
        return str(getattr(thing, "__module__", "fastnet")).split(".")[0] == "fastnet"

    fields = [field.name for field in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else []
    return list(dict.fromkeys([*fields, *(
        name for base in cls.__mro__ if ours(base) for name, member in vars(base).items()
        if not name.startswith("_") and ours(member) and getattr(cls, name).__doc__
        and (inspect.isfunction(member) or isinstance(member, classmethod | staticmethod | property)))]))


class PublicNames(SphinxDirective):
    """Docstrings of a module and of every public name in it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module = import_module(self.arguments[0])
        lines = [f".. automodule:: {module.__name__}", "   :no-members:", ""]
        for name in documented_names(module):
            value = getattr(module, name)
            kind = "class" if inspect.isclass(value) else "function" if callable(value) else "data"
            if inspect.isclass(value) and issubclass(value, BaseException):
                kind = "exception"
            options = ["   :no-value:"] if kind == "data" else []
            if kind == "class":
                options = [f"   :members: {', '.join(own_members(value))}"]
            lines += [f".. auto{kind}:: {module.__name__}.{name}", *options, ""]
        return self.parse_text_to_nodes("\n".join(["```{eval-rst}", *lines, "```"]))


class CommandHelp(SphinxDirective):
    """What every command of the command line answers to ``--help``, a section each."""

    def run(self) -> list[nodes.Node]:
        from fastnet.cli.command_line import _parser

        parser = _parser()
        commands = {name: command for action in parser._actions if hasattr(action, "choices") and action.choices
                    and not action.option_strings for name, command in action.choices.items()}
        sections: list[nodes.Node] = []
        with mock.patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1"}):
            for name, command in {"": parser, **commands}.items():
                title = f"fastnet {name}".strip()
                section = nodes.section("", nodes.title(title, title), ids=[f"command-{name or 'fastnet'}"],
                                        names=[title])
                block = nodes.literal_block(command.format_help(), command.format_help(), language="text")
                section += block
                sections.append(section)
        return sections


class Results(SphinxDirective):
    """The tables of a program of bench/, from its JSON."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(RESULTS / f"{self.arguments[0]}.json"))
        return self.parse_text_to_nodes(results(self.arguments[0]))


class Drawing(SphinxDirective):
    """A drawing of drawings/, as a part of the page, so that it takes its colours; without HTML what it says."""

    required_arguments = 1
    option_spec: ClassVar = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        path = DOCS / "drawings" / self.arguments[0]
        self.env.note_dependency(str(path))
        return [inline(path.read_text(), self.options["alt"])]


class Roofline(SphinxDirective):
    """The products of a step under the roofline of one core, from anatomy.json."""

    option_spec: ClassVar = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(RESULTS / "anatomy.json"))
        return [inline(roofline(**json.loads(results("--roofline"))), self.options["alt"])]


def inline(svg: str, alt: str) -> nodes.Node:
    """A drawing as a part of the page."""
    label = f'<svg class="drawing" role="img" aria-label="{html.escape(alt)}" '
    return nodes.raw("", svg.replace("<svg ", label, 1), format="html")


def roofline(peak: float, copying: float, points: list[tuple[str, float, float]]) -> str:
    """An SVG: operations per byte to the right, operations per second upwards, both logarithmic."""
    width, height, left, bottom = 640, 340, 60, 290
    low, high = 0.5, 32.0
    floor, top = peak / 16, peak * 1.5

    def x(intensity: float) -> float:
        return left + (width - left - 20) * math.log(intensity / low) / math.log(high / low)

    def y(speed: float) -> float:
        return bottom - (bottom - 20) * math.log(speed / floor) / math.log(top / floor)

    ridge = peak / copying
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
             f'<path class="line" d="M{left} 20 V{bottom} H{width - 20}"/>',
             f'<path class="strong" d="M{x(low):.1f} {y(low * copying):.1f} L{x(ridge):.1f} {y(peak):.1f} '
             f'H{width - 20}"/>',
             f'<text x="{x(high) - 4:.0f}" y="{y(peak) - 8:.0f}" text-anchor="end">peak of one core: '
             f'{peak / 1e9:.0f} GFLOP/s</text>',
             f'<text class="small" x="{x(0.8):.0f}" y="{y(0.7 * copying) + 20:.0f}">copying: '
             f'{copying / 1e9:.0f} GB/s</text>',
             f'<text class="small" x="{(left + width) // 2}" y="{height - 8}" text-anchor="middle">operations per byte '
             f'that a part has to read and write</text>',
             f'<text class="small" x="14" y="{bottom // 2}" text-anchor="middle" '
             f'transform="rotate(-90 14 {bottom // 2})">GFLOP/s</text>']
    for value in (0.5, 1, 2, 4, 8, 16):
        parts.append(f'<text class="small" x="{x(value):.1f}" y="{bottom + 16}" text-anchor="middle">{value:g}</text>')
    for value in (1, 2, 5, 10, 20, 50, 100, 200):
        if floor < value * 1e9 < top:
            parts.append(f'<text class="small" x="{left - 6}" y="{y(value * 1e9) + 4:.1f}" text-anchor="end">{value}'
                         f'</text>')
    for number, (_, intensity, speed) in enumerate(points, 1):
        half = 2 * number > len(points)  # those of the second case, which lie beside those of the first
        parts.append(f'<circle class="dot" cx="{x(intensity):.1f}" cy="{y(speed):.1f}" r="4"/>'
                     f'<text class="small" x="{x(intensity):.1f}" y="{y(speed) + (17 if half else -8):.1f}" '
                     f'text-anchor="middle">{number}</text>')
    return "\n".join([*parts, "</svg>"])


class RooflinePoints(SphinxDirective):
    """What the numbers in the drawing stand for."""

    def run(self) -> list[nodes.Node]:
        given = json.loads(results("--roofline"))
        lines = ["| | product | operations per byte | GFLOP/s | of what the roof allows |", "|--:|---|--:|--:|--:|"]
        for number, (name, intensity, speed) in enumerate(given["points"], 1):
            roof = min(given["peak"], intensity * given["copying"])
            lines.append(f"| {number} | {name} | {intensity:.2f} | {speed / 1e9:.1f} | {speed / roof:.0%} |")
        return self.parse_text_to_nodes("\n".join(lines))


class Speedups(SphinxDirective):
    """How many times as fast epochs are with more workers, from dask_rounds.json."""

    option_spec: ClassVar = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(RESULTS / "dask_rounds.json"))
        return [inline(speedups(json.loads(results("--speedups"))), self.options["alt"])]


def speedups(curves: list[tuple[str, list[tuple[int, float]]]]) -> str:
    """An SVG: workers to the right, times as fast upwards, both logarithmic; a line for each length of an epoch."""
    width, height, left, bottom = 640, 320, 50, 270
    most = max(workers for _, points in curves for workers, _ in points)
    top = 2 * most
    low = 1 / 32

    def x(workers: float) -> float:
        return left + (width - left - 130) * math.log(workers) / math.log(most)

    def y(times: float) -> float:
        return bottom - (bottom - 20) * math.log(max(times, low) / low) / math.log(top / low)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">',
             f'<path class="line" d="M{left} 20 V{bottom} H{width - 130}"/>',
             f'<path class="line" stroke-dasharray="4 4" d="M{x(1):.1f} {y(1):.1f} H{x(most):.1f}"/>',
             f'<text class="small" x="{(left + width - 130) // 2}" y="{height - 12}" text-anchor="middle">workers'
             f'</text>',
             f'<text class="small" x="12" y="{bottom // 2}" text-anchor="middle" '
             f'transform="rotate(-90 12 {bottom // 2})">times as fast as one</text>']
    for workers in (1, 2, 4, 8, 64, 512):
        parts.append(f'<text class="small" x="{x(workers):.1f}" y="{bottom + 16}" text-anchor="middle">{workers}'
                     f'</text>')
    for times in (0.1, 1, 10, 100):
        parts.append(f'<text class="small" x="{left - 6}" y="{y(times) + 4:.1f}" text-anchor="end">{times:g}</text>')
    for name, points in curves:
        line = " L".join(f"{x(workers):.1f} {y(times):.1f}" for workers, times in points)
        parts += [f'<path class="strong" d="M{line}"/>',
                  f'<text class="small" x="{x(most) + 6:.1f}" y="{y(points[-1][1]) + 4:.1f}">{name}</text>']
    return "\n".join([*parts, "</svg>"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register all of them."""
    app.add_directive("public-names", PublicNames)
    app.add_directive("command-help", CommandHelp)
    app.add_directive("results", Results)
    app.add_directive("drawing", Drawing)
    app.add_directive("roofline", Roofline)
    app.add_directive("roofline-points", RooflinePoints)
    app.add_directive("speedups", Speedups)
    version = zlib.crc32(Path(__file__).read_bytes())  # pages are made anew where this file has changed
    return {"version": str(version), "env_version": version, "parallel_read_safe": True, "parallel_write_safe": True}
