"""The figure: sessions over time above, the latency of every item below, on one axis of time.

Colours are Okabe and Ito's, which people with any kind of colour vision can tell apart, and no meaning rests on colour
alone: cold and warm, ok and failed differ in their symbols too. Warm is blue and cold is orange everywhere, as in the
sessions above: active ones do the warm work, those being created make the cold.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from loopai_lab.workbench.state import GAUGES, GROUPS, Snapshot

if TYPE_CHECKING:
    from loopai_lab.workbench.series import Floats

HEIGHT = 500
MOST_TICKS = 6

_GAUGE_COLOURS = {"active": "#0072B2", "idle": "#A6D5F0", "creating": "#E69F00", "closing": "#999999"}
_MARKERS = {
    "warm ok": {"color": "#0072B2", "symbol": "circle", "size": 6, "opacity": 0.65},
    "cold ok": {"color": "#E69F00", "symbol": "diamond", "size": 9, "line": {"color": "#7A5400", "width": 1}},
    "warm failed": {"color": "#D55E00", "symbol": "x", "size": 8},
    "cold failed": {"color": "#CC79A7", "symbol": "cross", "size": 9},
}


class _Figure(go.FigureWidget):  # type: ignore[misc] # plotly has no types
    """A FigureWidget that hears the browser only between two updates.

    While the kernel's thread takes in a message from the browser, traitlets holds all notifications of the widget back
    and compresses them; an update that another thread sends in that instant would be lost. One lock prevents it.
    """

    def __init__(self, *args: Any, lock: threading.RLock, **kwargs: Any) -> None:
        self._guard = lock
        super().__init__(*args, **kwargs)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take in a message from the browser."""
        with self._guard:
            super().set_state(sync_data)


class Chart:
    """Draw snapshots.

    Args:
        lock: is held while the figure changes, and while it takes in what the browser says.
    """

    def __init__(self, lock: threading.RLock) -> None:
        """Build an empty figure."""
        self._lock = lock
        self.figure: Any = _Figure(_empty_figure(), lock=lock)
        self.figure._config |= {"responsive": True, "displaylogo": False}  # noqa: SLF001 - there is no other way
        self._levels = dict(zip(GAUGES, self.figure.data[: len(GAUGES)], strict=True))
        self._clouds = dict(zip(GROUPS, self.figure.data[len(GAUGES) :], strict=True))

    def draw(self, snapshot: Snapshot, revision: str) -> None:
        """Show a snapshot: one message to the browser.

        Args:
            snapshot: what to show.
            revision: while it stays the same, so does the user's zoom.
        """
        with self._lock, self.figure.batch_update():
            self.figure.layout.uirevision = revision
            self.figure.layout.yaxis.dtick = _whole_steps(snapshot)
            self.figure.layout.yaxis2.autorangeoptions.include = _between_ticks(snapshot)
            for name, trace in self._levels.items():
                trace.x, trace.y = _small(snapshot.seconds), _small(snapshot.levels[name])
            for group, trace in self._clouds.items():
                points = snapshot.clouds[group]
                if len(points) or len(trace.x):
                    trace.x, trace.y = _small(points[:, 0]), _small(points[:, 1])
                    trace.customdata = points[:, 2].astype(np.int32)

    def close(self) -> None:
        """Take the figure from the page."""
        self.figure.close()


def _whole_steps(snapshot: Snapshot) -> int:
    """Return how far apart the ticks of the sessions' axis stand: there is no half a session."""
    highest = sum(snapshot.levels.values(), start=np.zeros(1)).max(initial=1.0)
    return math.ceil(float(highest) / MOST_TICKS)


def _between_ticks(snapshot: Snapshot) -> list[float]:
    """Return the ticks (1, 2, 5, 10, …) around all latencies: a logarithmic axis in between two of them has none."""
    latencies = np.concatenate([points[:, 1] for points in snapshot.clouds.values()])
    latencies = latencies[latencies > 0]
    if not len(latencies):
        return []
    ticks = np.array([digit * 10.0**power for power in range(-4, 8) for digit in (1, 2, 5)])
    below = ticks[ticks <= latencies.min()].max(initial=ticks[0])
    above = ticks[ticks >= latencies.max()].min(initial=ticks[-1])
    return [float(below), float(above)]


def _small(values: Floats) -> Any:
    """Halve what goes over the wire: no screen shows more than single precision."""
    return values.astype(np.float32)


def _empty_figure() -> go.Figure:
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06, row_heights=[0.38, 0.62])
    nothing = np.empty(0, dtype=np.float32)
    for name in GAUGES:
        figure.add_trace(_level_trace(name, nothing), row=1, col=1)
    for group in GROUPS:
        figure.add_trace(_cloud_trace(group, nothing), row=2, col=1)
    return figure.update_layout(_layout())


def _level_trace(name: str, nothing: Any) -> go.Scatter:
    colour = _GAUGE_COLOURS[name]
    return go.Scatter(
        name=name,
        x=nothing,
        y=nothing,
        mode="lines",
        stackgroup="sessions",
        line={"shape": "hv", "width": 0.5, "color": colour},
        fillcolor=colour,
        hovertemplate="%{y:.1f} " + name + "<extra></extra>",
        legend="legend",
    )


def _cloud_trace(group: str, nothing: Any) -> go.Scatter:
    return go.Scatter(
        name=group,
        x=nothing,
        y=nothing,
        customdata=nothing,
        mode="markers",
        marker=_MARKERS[group],
        hovertemplate="item %{customdata}: %{y:.1f} ms, finished at %{x:.2f} s<extra>" + group + "</extra>",
        legend="legend2",
    )


def _layout() -> dict[str, Any]:
    legend = {"x": 1.01, "xanchor": "left", "yanchor": "top", "itemsizing": "constant", "font": {"size": 12}}
    sessions = {"title": {"text": "sessions"}, "rangemode": "tozero", "minallowed": 0, "dtick": 1}
    latency = {"title": {"text": "latency (ms)"}, "type": "log", "dtick": "D2", "tickformat": ",~g"}
    return {
        "template": "plotly_white",
        "height": HEIGHT,
        "autosize": True,
        "margin": {"l": 70, "r": 130, "t": 12, "b": 44},
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif", "size": 12},
        "legend": legend | {"y": 1.0, "title": {"text": "sessions"}, "traceorder": "reversed"},
        "legend2": legend | {"y": 0.58, "title": {"text": "items"}},
        "xaxis": {"rangemode": "tozero"},
        "xaxis2": {"rangemode": "tozero", "title": {"text": "seconds since the start", "standoff": 8}},
        "yaxis": sessions,
        "yaxis2": latency,
        "hovermode": "closest",
    }
