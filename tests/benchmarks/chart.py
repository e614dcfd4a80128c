"""Draws the chart of one run: a panel of bars for each workload in which subjects are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .ledger import Ledger
from .targets import FLOOR, JOURNAL, MEMORY


@dataclass(frozen=True, slots=True)
class Panel:
    """One metric of all subjects; values are shown times `scale`."""

    title: str
    metric: str
    unit: str
    scale: float = 1.0
    most_wins: bool = False


PANELS: Final = (
    Panel("W1  acquire + release, one worker, p50", "w1.p50", "µs", 1e6),
    Panel("W2  100 workers, names of their own", "w2.rate", "cycles/s", most_wins=True),
    Panel("W3  100 workers, one name", "w3.100.rate", "hand-overs/s", most_wins=True),
    Panel("W5  hand-over with 1,000 waiting, p50", "w5.1000.p50", "ms", 1e3),
    Panel("W6  longest stall, one of three killed", "w6.killed.stall", "ms", 1e3),
    Panel("W6  longest stall, one of three hung", "w6.hung.stall", "ms", 1e3),
)
_COLOURS: Final = {MEMORY: "#0b6e4f", JOURNAL: "#6bbf9c", FLOOR: "#3d405b"}
_PEER: Final = "#c9ccd3"
_INK: Final = "#22262e"
_FAINT: Final = "#6b7280"
_COLUMNS: Final = 2


def draw(directory: Path, facts: Mapping[str, Any], ledger: Ledger) -> Iterator[Path]:
    """Write the chart as SVG and PNG; yields what was written. Raises ImportError without matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    panels = [panel for panel in PANELS if ledger.subjects(panel.metric)]
    if not panels:
        return
    style: Any = {"font.family": "DejaVu Sans", "font.size": 9, "svg.hashsalt": "benchmark"}
    with mpl.rc_context(style):
        columns, rows = min(_COLUMNS, len(panels)), -(-len(panels) // _COLUMNS)
        bars = max(len(ledger.subjects(panel.metric)) for panel in panels)
        height = 1.0 + rows * (0.9 + 0.27 * bars)
        figure, grid = pyplot.subplots(rows, columns, figsize=(6.2 * columns, height), squeeze=False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            _bars(axes, panel, ledger)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        figure.suptitle("LockManager and its peers, measured side by side", x=0.012, ha="left", size=13, weight="bold")
        figure.text(0.012, 0.012, _footer(facts), ha="left", size=7.5, color=_FAINT)
        figure.tight_layout(rect=(0, 0.25 / height, 1, 1 - 0.1 / height), h_pad=1.6, w_pad=2.0)
        for kind in ("svg", "png"):
            path = directory / f"benchmark.{kind}"
            figure.savefig(path, dpi=150, metadata={"Date": None} if kind == "svg" else None)
            yield path
        pyplot.close(figure)


def _bars(axes: Any, panel: Panel, ledger: Ledger) -> None:
    """Draw one panel, the best on top; a logarithmic axis, as peers lie up to a factor of a hundred apart."""
    found = [(ledger.value(panel.metric, key) or 0.0, key) for key in ledger.subjects(panel.metric)]
    found.sort(reverse=not panel.most_wins)
    values = [value * panel.scale for value, _ in found]
    names = [ledger.names[key] for _, key in found]
    colours = [_COLOURS.get(key, _PEER) for _, key in found]
    axes.barh(names, values, color=colours, height=0.68)
    for place, value in enumerate(values):
        axes.annotate(
            _shown(value), (value, place), xytext=(4, 0), textcoords="offset points", va="center", size=8, color=_INK
        )
    positive = [value for value in values if value > 0]
    axes.set_xscale("log")
    axes.set_xlim(min(positive, default=1.0) / 2.5, max(positive, default=1.0) * 2.5)
    better = "more is better" if panel.most_wins else "less is better"
    axes.set_title(panel.title, loc="left", size=9.5, weight="bold", color=_INK, pad=6)
    axes.set_xlabel(f"{panel.unit}, logarithmic, {better}", size=7.5, color=_FAINT, loc="left")
    axes.tick_params(axis="y", length=0, labelsize=8.5, labelcolor=_INK)
    axes.tick_params(axis="x", which="both", labelsize=7, colors=_FAINT)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.xaxis.set_minor_formatter("")
    axes.grid(axis="x", which="major", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#d1d5db")


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _footer(facts: Mapping[str, Any]) -> str:
    parts = [
        str(facts.get("date", ""))[:10],
        f"commit {facts.get('commit', 'unknown')}",
        f"{facts.get('cpus', '?')} CPUs shared by clients and servers",
        f"Python {facts.get('python', '?')}",
        f"load {facts.get('load_before', ['?'])[0]} before",
    ]
    return "   ·   ".join(parts)
