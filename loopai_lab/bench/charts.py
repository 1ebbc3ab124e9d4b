"""The charts of runs, as plain descriptions: what is drawn, without the library that draws it.

A chart is the dictionary that a plotly figure is made of (`data` and `layout`); `report` checks and draws it. What
tells things apart is never colour alone. Texts that come from users are escaped, because plotly reads tags in texts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loopai_lab.bench.page import escape

if TYPE_CHECKING:
    from loopai_lab.models import BatchResult, ItemResult
    from loopai_lab.pool.events import PoolEvent

Chart = dict[str, Any]

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY, BLACK = (
    *("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8a929c", "#22272e"),
)
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, GREY, BLACK)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = {"error": "x", "timeout": "triangle-up", "cancelled": "square", "lost": "star"}
COLOURS = {"error": RED, "timeout": PURPLE, "cancelled": GREY, "lost": BLACK}
SPANS = (("queue", ORANGE), ("create", PURPLE), ("transport", SKY), ("execute", BLUE))
MOST_POINTS = 3000
MOST_STEPS = 800


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as a report shows it.

    Args:
        name: what to call it.
        result: what came of it.
        events: what happened in its pool meanwhile; none if it had no pool.
    """

    name: str
    result: BatchResult
    events: Sequence[PoolEvent] = ()

    @property
    def ran(self) -> list[ItemResult]:
        """The items that were started and so have a latency."""
        return [item for item in self.result.items if item.status != "skipped" and item.latency_ms > 0]


def chart(data: list[dict[str, Any]], *, title: str, height: int, **layout: Any) -> Chart:
    """Return a chart with the look that all of them share."""
    return {"data": data, "layout": {"title": {"text": title}, "height": height} | layout}


def log_axis(title: str, values: Iterable[float]) -> dict[str, Any]:
    """Return a logarithmic axis around some values, labelled in plain numbers."""
    positive = [value for value in values if value > 0] or [1.0]
    low, high = math.log10(min(positive)), math.log10(max(positive))
    margin = max(0.08, 0.04 * (high - low))
    ticks = [mantissa * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for mantissa in (1, 2, 5)]
    shown = ticks if high - low < 2.5 else ticks[::3]  # noqa: PLR2004 - decades that hold three labels each
    return {
        "title": {"text": title},
        "type": "log",
        "range": [low - margin, high + margin],
        "tickvals": shown,
        "ticktext": [f"{tick:,g}" if tick >= 1 else f"{tick:.6f}".rstrip("0") for tick in shown],
    }


# -- latency over time ------------------------------------------------------------------------------------------------


def latency_over_time(views: Sequence[RunView]) -> Chart:
    """Draw every item of every run: when it finished, how long it took, whether its session was new, how it ended."""
    share = 1 / max(1, len(views))
    layout: dict[str, Any] = {
        "yaxis": log_axis("latency, ms", (item.latency_ms for view in views for item in view.ran)),
        "annotations": [_facet_title(view, (place + 0.47) * share) for place, view in enumerate(views)],
        "legend": {"orientation": "h", "y": -0.2},
    }
    data: list[dict[str, Any]] = []
    seen: set[str] = set()
    for place, view in enumerate(views):
        layout[f"xaxis{place + 1}"] = {
            "domain": [place * share, (place + 0.94) * share],
            "title": {"text": "finished after, s"},
            "rangemode": "tozero",
        }
        for trace in _scatter(view, f"x{place + 1}"):
            data.append(trace | {"showlegend": trace["name"] not in seen})
            seen.add(trace["name"])
    return chart(data, title="Latency of every item, over time", height=460, **layout)


def _facet_title(view: RunView, x: float) -> dict[str, Any]:
    shown, ran = len(_thinned(view.ran)), len(view.ran)
    note = f" ({shown:,} of {ran:,} shown)" if shown < ran else ""
    text = f"{escape(view.name)}{note}"
    return {"text": text, "x": x, "y": 1.0, "xref": "paper", "yref": "paper", "yanchor": "bottom", "showarrow": False}


def _scatter(view: RunView, xaxis: str) -> list[dict[str, Any]]:
    groups: dict[tuple[str, bool], list[ItemResult]] = {}
    for item in _thinned(view.ran):
        groups.setdefault((item.status, item.reused), []).append(item)
    return [_points(items, status, xaxis, warm=warm) for (status, warm), items in sorted(groups.items(), reverse=True)]


def _points(items: list[ItemResult], status: str, xaxis: str, *, warm: bool) -> dict[str, Any]:
    if status == "success":
        name, symbol, colour = ("warm", "circle", BLUE) if warm else ("cold: its session was made", "diamond", ORANGE)
    else:
        temper = "warm" if warm else "cold"
        name, symbol, colour = f"{status}, {temper}", SYMBOLS[status] + ("" if warm else "-open"), COLOURS[status]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "legendgroup": name,
        "xaxis": xaxis,
        "x": [item.finished_ms / 1000 for item in items],
        "y": [item.latency_ms for item in items],
        "text": [escape(item.item_id[:200]) for item in items],
        "hovertemplate": "%{text}<br>%{y:.3f} ms, finished at %{x:.3f} s<extra>" + name + "</extra>",
        "marker": {"symbol": symbol, "color": colour, "size": 5 if name == "warm" else 8, "opacity": 0.7},
    }


def _thinned(items: list[ItemResult], most: int = MOST_POINTS) -> list[ItemResult]:
    """Keep about `most` points: what is rare (failed, cold), then the slowest, then an even share of the rest."""
    if len(items) <= most:
        return items
    rare = [item for item in items if not item.success or not item.reused]
    usual = sorted((item for item in items if item.success and item.reused), key=lambda item: -item.latency_ms)
    slowest, rest = usual[: most // 10], sorted(usual[most // 10 :], key=lambda item: item.index)
    return [*_even_share(rare, most // 2), *slowest, *_even_share(rest, most // 2)]


def _even_share(items: list[ItemResult], most: int) -> list[ItemResult]:
    return items[:: max(1, -(-len(items) // most))]


# -- distributions, spans, rates --------------------------------------------------------------------------------------


def latency_ecdf(
    samples_ms: Sequence[tuple[str, Sequence[float]]], *, title: str = "Share of items that took at most …"
) -> Chart:
    """Draw the share of samples at or below each latency, one line per name."""
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": escape(name),
            "x": (steps := _steps(sorted(samples)))[0],
            "y": steps[1],
            "line": {
                "shape": "hv",
                "color": PALETTE[place % len(PALETTE)],
                "dash": DASHES[place % len(DASHES)],
                "width": 2.5,
            },
            "hovertemplate": "%{y:.1%} took at most %{x:.3f} ms<extra>" + escape(name) + "</extra>",
        }
        for place, (name, samples) in enumerate(samples_ms)
        if samples
    ]
    xaxis = log_axis("latency, ms", (sample for _, samples in samples_ms for sample in samples))
    yaxis = {"title": {"text": "share"}, "tickformat": ".0%", "range": [0, 1.02]}
    return chart(data, title=title, height=430, xaxis=xaxis, yaxis=yaxis, legend={"orientation": "h", "y": -0.22})


def _steps(ordered: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return the steps of a distribution; of a long one as many as a screen can show, both ends included."""
    count = len(ordered)
    shown = min(count, MOST_STEPS)
    ranks = [round(place * (count - 1) / max(1, shown - 1)) for place in range(shown)]
    return [ordered[0], *(ordered[rank] for rank in ranks)], [0.0, *((rank + 1) / count for rank in ranks)]


def mean_spans_ms(view: RunView) -> dict[str, float]:
    """Return the mean of each of the four spans over the items that ran."""
    ran = view.ran
    return {name: math.fsum(getattr(item, f"{name}_ms") for item in ran) / max(1, len(ran)) for name, _ in SPANS}


def stacked_spans(views: Sequence[RunView]) -> Chart:
    """Draw where the time of an item goes on average, one bar per run."""
    means = [mean_spans_ms(view) for view in views]
    patterns = {"queue": "/", "create": "x", "transport": ".", "execute": ""}
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": [escape(view.name) for view in views],
            "x": [mean[name] for mean in means],
            "marker": {"color": colour, "pattern": {"shape": patterns[name], "fgcolor": "rgba(255,255,255,.55)"}},
            "hovertemplate": "%{y}: %{x:.3f} ms<extra>" + name + "</extra>",
        }
        for name, colour in SPANS
    ]
    return chart(
        data,
        title="Where the time of an item goes, mean",
        height=170 + 46 * len(views),
        barmode="stack",
        xaxis={"title": {"text": "ms per item"}},
        yaxis={"autorange": "reversed", "automargin": True},
        legend={
            "orientation": "h",
            "y": 1.0,
            "yanchor": "bottom",
            "x": 1.0,
            "xanchor": "right",
            "traceorder": "normal",
        },
    )


def rates(named: Sequence[tuple[str, float]], *, title: str = "Items per second", ours: Sequence[str] = ()) -> Chart:
    """Draw rates as bars with their figures; bars of `ours` stand out."""
    values = [value for _, value in named]
    spread = max(values, default=1.0) / max(min(values, default=1.0), 1e-9)
    logarithmic = spread > 30  # noqa: PLR2004 - the smallest bar would be a line
    bar = {
        "type": "bar",
        "orientation": "h",
        "y": [escape(name) for name, _ in named],
        "x": values,
        "text": [f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in values],  # noqa: PLR2004
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": [BLUE if not ours or name in ours else GREY for name, _ in named]},
        "hovertemplate": "%{y}: %{x:,.1f} items/s<extra></extra>",
    }
    axis: dict[str, Any] = {"title": {"text": "items/s"}, "rangemode": "tozero"}
    if logarithmic:
        axis = log_axis("items/s, logarithmic", [*values, min(values) / 3, max(values) * 2])
    return chart(
        [bar],
        title=title,
        height=150 + 42 * len(named),
        xaxis=axis,
        yaxis={"autorange": "reversed", "automargin": True},
        showlegend=False,
    )
