"""Draws docs/images/architecture.svg: the components of the sidecar and their order.

Usage: python tools/draw_architecture.py [--check]. The rows are the layers of the import
contract in pyproject.toml. The arrows are the real imports, without those that a longer path of
arrows implies. ``--check`` writes nothing; it exits with status 1 if the file differs from the
code. `make architecture` runs this script.

The layout is Sugiyama's: an arrow that spans several rows gets an invisible point in each row
between, so that it passes beside the boxes; every row is ordered by the mean position of its
neighbours.
"""

import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import grimp
import svg

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/images/architecture.svg"
PACKAGE = "sidecar"
WIDTH, _ROW, _BOX, _GAP, _MARGIN = 880, 66, 34, 18, 12
_POINT = 10.0
"""The width that an arrow takes where it passes a row."""
_SWEEPS = 24
_STYLE = """
text { font: 14px system-ui, -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif;
       fill: #1f2328; text-anchor: middle; }
rect { fill: #ddf4ff; stroke: #0969da; rx: 6px; }
path { stroke: #818b98; fill: none; stroke-width: 1.2px; }
marker path { fill: #818b98; stroke: none; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; } rect { fill: #121d2f; stroke: #4493f8; } path { stroke: #656c76; }
  marker path { fill: #656c76; }
}
"""

Arrows = frozenset[tuple[str, str]]


class Layout(NamedTuple):
    """Where everything stands: the rows, and each arrow's nodes from its start to its end."""

    rows: list[list[str]]
    paths: list[list[str]]
    middles: dict[str, float]


def read_layers(pyproject: Path = ROOT / "pyproject.toml") -> tuple[tuple[str, ...], ...]:
    """Return the layers of the import contract from the top, each with its components."""
    contracts = tomllib.loads(pyproject.read_text())["tool"]["importlinter"]["contracts"]
    is_sidecars = {"type": "layers", "containers": ["sidecar"]}.items()
    (layers,) = (each["layers"] for each in contracts if is_sidecars <= each.items())
    return tuple(
        tuple(name.strip().removeprefix("(").removesuffix(")") for name in line.split(":"))
        for line in layers
    )


def read_arrows(components: Iterable[str]) -> Arrows:
    """Return which component imports which, imports for types alone left out."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    # The longest name first: a component may stand inside another one.
    names = sorted(components, key=len, reverse=True)

    def component_of(module: str) -> str | None:
        bare = module.removeprefix(f"{PACKAGE}.")
        return next((n for n in names if bare == n or bare.startswith(f"{n}.")), None)

    found = set()
    for module in graph.modules:
        importer = component_of(module)
        for imported in graph.find_modules_directly_imported_by(module):
            target = component_of(imported)
            if importer and target and importer != target:
                found.add((importer, target))
    return frozenset(found)


def reduce(arrows: Arrows) -> Arrows:
    """Leave out each arrow that a longer path implies (the transitive reduction)."""
    after: dict[str, set[str]] = {}
    for start, end in arrows:
        after.setdefault(start, set()).add(end)

    def reaches(start: str, end: str) -> bool:
        seen, waiting = set(), [each for each in after.get(start, ()) if each != end]
        while waiting:
            each = waiting.pop()
            if each == end:
                return True
            if each not in seen:
                seen.add(each)
                waiting += after.get(each, ())
        return False

    return frozenset(arrow for arrow in arrows if not reaches(*arrow))


def split(layers: Sequence[Sequence[str]], arrows: Arrows) -> list[list[str]]:
    """Return the rows: a layer a row, or several where its components import each other.

    A component without an arrow holds no code yet and is left out.
    """
    drawn = {name for arrow in arrows for name in arrow}
    rows = []
    for layer in layers:
        left = [name for name in layer if name in drawn]
        while left:
            lower = {end for start, end in arrows if start in left and end in left}
            rows.append([name for name in left if name not in lower])
            left = [name for name in left if name in lower]
    return rows


def place(layers: Sequence[Sequence[str]], arrows: Arrows) -> Layout:
    """Order every row and space it, so that few arrows cross and none runs through a box."""
    rows = split(layers, arrows)
    row_of = {name: number for number, row in enumerate(rows) for name in row}
    paths = []
    for start, end in sorted(arrows):
        points = [f"{start}>{end}@{row}" for row in range(row_of[start] + 1, row_of[end])]
        for row, point in enumerate(points, row_of[start] + 1):
            rows[row].append(point)
        paths.append([start, *points, end])
    neighbours: dict[str, list[str]] = {name: [] for row in rows for name in row}
    for path in paths:
        for upper, lower in pairwise(path):
            neighbours[upper].append(lower)
            neighbours[lower].append(upper)
    middles = {name: x for row in rows for name, x in _space(row, [WIDTH / 2] * len(row)).items()}
    for sweep in range(_SWEEPS):
        for each in rows if sweep % 2 else reversed(rows):
            wished = {name: _mean([middles[n] for n in neighbours[name]]) for name in each}
            each.sort(key=lambda name: (wished[name], name))
            middles |= _space(each, [wished[name] for name in each])
    return Layout(rows, paths, middles)


def _width(name: str) -> float:
    return _POINT if "@" in name else 26 + 8.2 * len(name)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _space(row: Sequence[str], wished: Sequence[float]) -> dict[str, float]:
    """Return the middles nearest to the wished ones, in this order, without overlaps."""
    # The least that the one before it leaves, then the most that the one after it leaves.
    middles: list[float] = []
    for name, wish in zip(row, wished, strict=True):
        least = _MARGIN + _width(name) / 2
        if middles:
            before = row[len(middles) - 1]
            least = middles[-1] + (_width(before) + _width(name)) / 2 + _GAP
        middles.append(max(wish, least))
    # What was pushed to the right is let back by half of it, as one.
    shift = _mean([m - w for m, w in zip(middles, wished, strict=True)])
    shift = min(shift, middles[0] - _width(row[0]) / 2 - _MARGIN)
    middles = [middle - max(shift, 0) for middle in middles]
    most: float = WIDTH - _MARGIN + _GAP
    for at in range(len(row) - 1, -1, -1):
        half = _width(row[at]) / 2
        middles[at] = min(middles[at], most - _GAP - half)
        most = middles[at] - half
    return dict(zip(row, middles, strict=True))


def draw(layout: Layout) -> str:
    """Draw the components, and the arrows between them."""
    height = 2 * _MARGIN + (len(layout.rows) - 1) * _ROW + _BOX
    top_of = {
        name: _MARGIN + number * _ROW for number, row in enumerate(layout.rows) for name in row
    }
    elements: list[svg.Element] = [
        svg.Title(text="The components of the sidecar; an arrow points to what is imported"),
        svg.Style(text=_STYLE),
        svg.Defs(
            elements=[
                svg.Marker(
                    id="tip", viewBox=svg.ViewBoxSpec(0, 0, 8, 8), refX=7, refY=4,
                    markerWidth=7, markerHeight=7, orient="auto",
                    elements=[svg.Path(d=[svg.M(0, 0), svg.L(8, 4), svg.L(0, 8), svg.Z()])],
                )
            ]
        ),
    ]  # fmt: skip
    elements += (
        _draw_arrow([(round(layout.middles[n], 1), top_of[n]) for n in path])
        for path in layout.paths
    )
    for name, top in top_of.items():
        if "@" not in name:
            middle, width = layout.middles[name], _width(name)
            elements += [
                svg.Rect(x=round(middle - width / 2, 1), y=top, width=round(width, 1), height=_BOX),
                svg.Text(x=round(middle, 1), y=top + _BOX / 2 + 5, text=name),
            ]
    picture = svg.SVG(
        viewBox=svg.ViewBoxSpec(0, 0, WIDTH, height), width=WIDTH, height=height, elements=elements
    )
    return f"{picture}\n"


def _draw_arrow(points: Sequence[tuple[float, float]]) -> svg.Element:
    x, top = points[0]
    line: list[svg.PathData] = [svg.M(x, top + _BOX)]
    for (before, above), (after, below) in pairwise(points):
        start = above + _BOX
        bend = (below - start) / 2
        line.append(svg.C(before, start + bend, after, below - bend, after, below))
        line.append(svg.L(after, below + _BOX))
    # The last stroke would run through the box that the arrow points to.
    return svg.Path(d=line[:-1], marker_end="url(#tip)")


def make_picture() -> str:
    """Return the picture of the current code."""
    layers = read_layers()
    arrows = read_arrows(name for layer in layers for name in layer)
    return draw(place(layers, reduce(arrows)))


def main(arguments: Mapping[int, str]) -> int:
    """Write the picture, or with ``--check`` compare."""
    made = make_picture()
    if arguments.get(1) == "--check":
        return int(not PICTURE.exists() or PICTURE.read_text() != made)
    PICTURE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(dict(enumerate(sys.argv))))
