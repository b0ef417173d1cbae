"""Draws docs/images/architecture.svg: the components of the sidecar and their order.

Usage: python tools/draw_architecture.py [--check]. The rows are the layers of the import
contract in pyproject.toml, the arrows are the imports there really are, less those that
another path of arrows says already. ``--check`` writes nothing and exits 1 where the picture
is not that of the code. `make architecture` runs it.
"""

import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import grimp
import svg

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/images/architecture.svg"
PACKAGE = "sidecar"
WIDTH, _ROW, _BOX, _GAP = 880, 92, 40, 14
_STYLE = """
text { font: 14px system-ui, -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif;
       fill: #1f2328; text-anchor: middle; }
rect { fill: #ddf4ff; stroke: #0969da; rx: 6px; }
path { stroke: #818b98; fill: none; }
marker path { fill: #818b98; stroke: none; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; } rect { fill: #121d2f; stroke: #4493f8; } path { stroke: #656c76; }
  marker path { fill: #656c76; }
}
"""

Arrows = frozenset[tuple[str, str]]


class Box(NamedTuple):
    """A component's place in the picture."""

    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        """The middle of its edges."""
        return self.x + self.width / 2


def read_layers(pyproject: Path = ROOT / "pyproject.toml") -> tuple[tuple[str, ...], ...]:
    """Return the layers of the import contract from the top, each with its components."""
    contracts = tomllib.loads(pyproject.read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each["type"] == "layers")
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
    """Leave out each arrow that a longer way says too (the transitive reduction)."""
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


def place(layers: Sequence[Sequence[str]]) -> dict[str, Box]:
    """Put each layer's components into a row of its own, in the order of the contract."""
    boxes: dict[str, Box] = {}
    for row, layer in enumerate(layers):
        widths = [24 + 8.2 * len(name) for name in layer]
        left = (WIDTH - sum(widths) - _GAP * (len(layer) - 1)) / 2
        for name, width in zip(layer, widths, strict=True):
            boxes[name] = Box(left, 16 + row * _ROW, width)
            left += width + _GAP
    return boxes


def draw(layers: Sequence[Sequence[str]], arrows: Arrows) -> str:
    """Draw the components, and the arrows between them."""
    boxes = place(layers)
    height = 16 + len(layers) * _ROW - (_ROW - _BOX) + 16
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
    elements += (_draw_arrow(boxes[start], boxes[end]) for start, end in sorted(arrows))
    for name, box in boxes.items():
        elements += [
            svg.Rect(x=round(box.x, 1), y=box.y, width=round(box.width, 1), height=_BOX),
            svg.Text(x=round(box.middle, 1), y=box.y + _BOX / 2 + 5, text=name),
        ]
    picture = svg.SVG(
        viewBox=svg.ViewBoxSpec(0, 0, WIDTH, height), width=WIDTH, height=height, elements=elements
    )
    return f"{picture}\n"


def _draw_arrow(start: Box, end: Box) -> svg.Element:
    if start.y == end.y:
        # Between neighbours of a row: an arc below them.
        bottom, low = start.y + _BOX, start.y + _BOX + 22
        line: list[svg.PathData] = [
            svg.M(round(start.middle, 1), bottom),
            svg.C(round(start.middle, 1), low, round(end.middle, 1), low,
                  round(end.middle, 1), bottom),
        ]  # fmt: skip
    else:
        top, bottom = start.y + _BOX, end.y
        bend = (bottom - top) / 2
        line = [
            svg.M(round(start.middle, 1), top),
            svg.C(round(start.middle, 1), round(top + bend, 1), round(end.middle, 1),
                  round(bottom - bend, 1), round(end.middle, 1), bottom),
        ]  # fmt: skip
    return svg.Path(d=line, marker_end="url(#tip)")


def make_picture() -> str:
    """Return the picture of the code as it is."""
    layers = read_layers()
    arrows = read_arrows(name for layer in layers for name in layer)
    return draw(layers, reduce(arrows))


def main(arguments: Mapping[int, str]) -> int:
    """Write the picture, or with ``--check`` compare."""
    made = make_picture()
    if arguments.get(1) == "--check":
        return int(not PICTURE.exists() or PICTURE.read_text() != made)
    PICTURE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(dict(enumerate(sys.argv))))
