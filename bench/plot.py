"""Draws results as one SVG: bars with their numbers, readable on a light and a dark page.

The picture follows the reader's colour scheme by a media query of its own, as GitHub shows
it in an ``<img>``; its background is transparent.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import svg

from bench.names import ASKED, CONSTANT, JWT, JWT_CACHED, NO_FILTER, REPEATED, SAME_JOB

WIDTH = 880
_LABELS = 220
"""Room for the labels, left of the bars."""
_VALUES = 165
"""Room for the numbers, right of the longest bar."""
_ROW, _BAR, _HEAD, _GAP = 30, 18, 58, 26
_STYLE = """
text { font: 14px system-ui, -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif;
       fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.note, .unit { fill: #59636e; font-size: 13px; }
.value { font-variant-numeric: tabular-nums; }
.ours-label { font-weight: 600; }
.axis { stroke: #818b98; }
.ours { fill: #0969da; } .other { fill: #b1bac4; } .envoy { fill: #8250df; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .note, .unit { fill: #9198a1; }
  .axis { stroke: #656c76; }
  .ours { fill: #4493f8; } .other { fill: #57606a; } .envoy { fill: #ab7df8; }
}
"""


_DRAWN = {
    NO_FILTER: NO_FILTER,
    JWT_CACHED: JWT_CACHED,
    SAME_JOB: "the same with rbac and headers",
    JWT: JWT,
    CONSTANT: CONSTANT,
    ASKED: ASKED,
    REPEATED: REPEATED,
}
"""The variants through Envoy that are drawn, with labels that have room."""
_OURS = (ASKED, REPEATED)


class Part(NamedTuple):
    """A piece of a bar. ``kind`` is its colour: ours, other or envoy."""

    value: float
    kind: str


class Bar(NamedTuple):
    """A bar, of one part or of several behind each other."""

    label: str
    parts: tuple[Part, ...]
    ours: bool = False

    @property
    def total(self) -> float:
        """The length of all parts."""
        return sum(part.value for part in self.parts)


class Panel(NamedTuple):
    """Bars that share a scale."""

    title: str
    note: str
    bars: tuple[Bar, ...]
    legend: tuple[tuple[str, str], ...] = ()
    """Kinds and what they stand for, where one bar has several."""

    @property
    def height(self) -> int:
        """Its height in the picture."""
        return _HEAD + _ROW * len(self.bars) + _GAP


def panels_of(results: dict[str, Any]) -> list[Panel]:
    """Choose what of the results is drawn."""
    direct, envoy = results["direct"], results["envoy"]
    warm, cold = direct["warm_us"], direct["cold_us"]
    return [
        Panel(
            "A token seen before: CPU of the server for one Check, µs",
            "asked directly, 32 in flight",
            (
                _bar("same engine, constant reply", warm["floor"]),
                _bar("sidecar", warm["ours-h2"], ours=True),
                _bar("sidecar on grpcio's server", warm["ours-grpcio"]),
                _bar("naive: grpc.aio + PyJWT", warm["naive"]),
            ),
        ),
        Panel(
            "A token not seen before: CPU of the server for one Check, µs",
            "the signature has to be verified",
            (
                _bar("the ES256 verification alone", direct["verify_us"]),
                _bar("sidecar", cold["ours-h2"], ours=True),
                _bar("sidecar on grpcio's server", cold["ours-grpcio"]),
                _bar("naive: grpc.aio + PyJWT", cold["naive"]),
            ),
        ),
        Panel(
            "Through Envoy 1.40: CPU for one request, µs",
            "one worker thread, 20 headers, a token seen before",
            tuple(
                Bar(
                    label,
                    (Part(row["envoy"], "envoy"), *_server_part(name, row["server"])),
                    ours=name in _OURS,
                )
                for name, label in _DRAWN.items()
                if (row := envoy["cpu_us"].get(name)) is not None
            ),
            (("envoy", "Envoy"), ("ours", "sidecar"), ("other", "constant-reply server")),
        ),
    ]


def draw(panels: Sequence[Panel], footer: str) -> str:
    """Draw panels below each other."""
    height = sum(panel.height for panel in panels) + 20
    described = "; ".join(panel.title for panel in panels)
    elements: list[svg.Element] = [svg.Title(text=escape(described)), svg.Style(text=_STYLE)]
    top = 0
    for panel in panels:
        elements += _draw_panel(panel, top)
        top += panel.height
    elements.append(_text(x=0, y=height - 6, text=footer, class_=["note"]))
    picture = svg.SVG(
        viewBox=svg.ViewBoxSpec(0, 0, WIDTH, height),
        width=WIDTH,
        height=height,
        elements=elements,
    )
    return f"{picture}\n"


def _draw_panel(panel: Panel, top: int) -> list[svg.Element]:
    scale = (WIDTH - _LABELS - _VALUES) / max(bar.total for bar in panel.bars)
    elements: list[svg.Element] = [
        _text(x=0, y=top + 20, text=panel.title, class_=["title"]),
        _text(x=0, y=top + 40, text=panel.note, class_=["note"]),
        *_draw_legend(panel.legend, top + 40),
    ]
    bars_top = top + _HEAD
    for number, bar in enumerate(panel.bars):
        elements += _draw_bar(bar, bars_top + number * _ROW, scale)
    elements.append(
        svg.Line(
            x1=_LABELS,
            y1=bars_top - 4,
            x2=_LABELS,
            y2=bars_top + _ROW * len(panel.bars) - _ROW + _BAR + 4,
            class_=["axis"],
        )
    )
    return elements


def _draw_bar(bar: Bar, top: float, scale: float) -> list[svg.Element]:
    middle = top + _BAR / 2 + 5
    label = ["ours-label"] if bar.ours else []
    elements: list[svg.Element] = [
        _text(x=_LABELS - 10, y=middle, text=bar.label, text_anchor="end", class_=label)
    ]
    left = float(_LABELS)
    for part in bar.parts:
        width = round(max(part.value * scale, 0.5), 1)
        elements.append(
            svg.Rect(x=round(left, 1), y=top, width=width, height=_BAR, class_=[part.kind])
        )
        left += width
    elements.append(
        _text(x=round(left + 8, 1), y=middle, text=_words(bar), class_=["value", *label])
    )
    return elements


def _draw_legend(legend: Sequence[tuple[str, str]], baseline: int) -> list[svg.Element]:
    elements: list[svg.Element] = []
    left = _LABELS + 160
    for kind, words in legend:
        elements += [
            svg.Rect(x=left, y=baseline - 10, width=11, height=11, class_=[kind]),
            _text(x=left + 17, y=baseline, text=words, class_=["note"]),
        ]
        left += 40 + 8 * len(words)
    return elements


def _text(x: float, y: float, text: str, **fields: Any) -> svg.Text:
    """Write text; svg.py writes it as it is, and some of it is not ours."""
    return svg.Text(x=x, y=y, text=escape(text), **fields)


def _words(bar: Bar) -> str:
    numbers = [_number(part.value) for part in bar.parts]
    total = "" if len(numbers) == 1 else f" = {_number(bar.total)}"
    return " + ".join(numbers) + total


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _bar(label: str, value: float, *, ours: bool = False) -> Bar:
    return Bar(label, (Part(value, "ours" if ours else "other"),), ours)


def _server_part(name: str, value: float) -> tuple[Part, ...]:
    if not value:
        return ()
    return (Part(value, "ours" if name in _OURS else "other"),)
