"""The session timeline: one row per session, with bars for its making, its uses and its end, from the pool's events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from loopai_lab.bench.charts import BLUE, GREY, ORANGE, RED, Chart, RunView, chart
from loopai_lab.bench.page import escape
from loopai_lab.pool.events import PoolEvent

Doing = Literal["creating", "active", "closing", "creation failed"]
LOOK: dict[Doing, tuple[str, str]] = {
    "creating": (ORANGE, "/"),
    "active": (BLUE, ""),
    "closing": (GREY, "."),
    "creation failed": (RED, "x"),
}
ENDS: dict[str, Doing] = {"created": "creating", "create_failed": "creation failed", "closed": "closing"}
FINEST_SHARE = 1 / 1200
MOST_ROWS = 30
"""Pauses shorter than this share of the whole are less than a pixel: the uses around them become one bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Something that a session did for a while.

    Args:
        session: its id, or that of the attempt to make it.
        doing: what.
        began_s: on the pool's clock.
        ended_s: likewise.
        note: for whom or why.
        uses: how many uses are drawn as this one.
    """

    session: str
    doing: Doing
    began_s: float
    ended_s: float
    note: str = ""
    uses: int = 1


def stretches(events: Sequence[PoolEvent]) -> list[Stretch]:
    """Return what every session did, in the order of its beginning; what has not ended ends with the last event."""
    found: list[Stretch] = []
    under_way: dict[str, PoolEvent] = {}
    for event in events:
        if event.kind in {"creating", "acquired", "closing"}:
            under_way[event.session_id] = event
        elif event.kind in {"created", "create_failed", "released", "passed_on", "closed"}:
            attempt = event.reason if event.kind == "created" else event.session_id
            if (first := under_way.pop(attempt, None)) is not None:
                found.append(_stretch(first, event))
    last = events[-1].at if events else 0.0
    found += [_stretch(first, PoolEvent("resized", last)) for first in under_way.values()]
    return sorted(found, key=lambda stretch: stretch.began_s)


def _stretch(first: PoolEvent, last: PoolEvent) -> Stretch:
    doing: Doing = ENDS.get(last.kind, "active" if first.kind == "acquired" else "closing")
    if first.kind == "creating" and last.kind not in ENDS:
        doing = "creating"
    note = last.reason if last.kind == "create_failed" else first.item_id or first.reason
    session = last.session_id if last.kind == "created" else first.session_id
    return Stretch(session=session, doing=doing, began_s=first.at, ended_s=last.at, note=note)


def merged(found: Sequence[Stretch], *, pause_s: float) -> list[Stretch]:
    """Join uses of one session with a pause between them that nobody could see."""
    joined: list[Stretch] = []
    last_of: dict[str, int] = {}
    for stretch in found:
        place = last_of.get(stretch.session)
        before = None if place is None else joined[place]
        if place is not None and before is not None and _touch(before, stretch, pause_s):
            joined[place] = replace(before, ended_s=stretch.ended_s, uses=before.uses + stretch.uses)
        else:
            last_of[stretch.session] = len(joined)
            joined.append(stretch)
    return joined


def _touch(before: Stretch, after: Stretch, pause_s: float) -> bool:
    return before.doing == after.doing == "active" and after.began_s - before.ended_s <= pause_s


def session_timeline(view: RunView) -> Chart:
    """Draw one row per session of a run."""
    found = stretches(view.events)
    start = view.events[0].at if view.events else 0.0
    whole_s = max((stretch.ended_s for stretch in found), default=start) - start
    shown = merged(found, pause_s=whole_s * FINEST_SHARE)
    rows = {session: number for number, session in enumerate(dict.fromkeys(stretch.session for stretch in shown), 1)}
    title = f"Sessions of {escape(view.name)}"
    if len(rows) > MOST_ROWS:  # a pool that keeps nothing makes one per item
        title += f": the first {MOST_ROWS} of {len(rows)}"
        rows = {session: number for session, number in rows.items() if number <= MOST_ROWS}
        shown = [stretch for stretch in shown if stretch.session in rows]
    data = [_bars([stretch for stretch in shown if stretch.doing == doing], doing, rows, start) for doing in LOOK]
    return chart(
        [bars for bars in data if bars["y"]],
        title=title,
        height=170 + 26 * len(rows),
        barmode="overlay",
        bargap=0.25,
        xaxis={"title": {"text": "s since the first event"}, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "type": "category", "automargin": True, "categoryarray": _labels(rows)},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 1.0, "xanchor": "right"},
    )


def _labels(rows: dict[str, int]) -> list[str]:
    return [f"session {number}" for number in rows.values()]


def _bars(found: Sequence[Stretch], doing: Doing, rows: dict[str, int], start: float) -> dict[str, Any]:
    colour, pattern = LOOK[doing]
    return {
        "type": "bar",
        "orientation": "h",
        "name": doing,
        "showlegend": True,
        "y": [f"session {rows[stretch.session]}" for stretch in found],
        "base": [stretch.began_s - start for stretch in found],
        "x": [stretch.ended_s - stretch.began_s for stretch in found],
        "text": [_hover(stretch) for stretch in found],
        "textposition": "none",
        "hovertemplate": "%{text}<extra>" + doing + "</extra>",
        "marker": {
            "color": colour,
            "line": {"width": 0},
            "pattern": {"shape": pattern, "fgcolor": "rgba(255,255,255,.6)"},
        },
    }


def _hover(stretch: Stretch) -> str:
    what = f"{stretch.uses:,} uses, first {stretch.note[:200]}" if stretch.uses > 1 else stretch.note[:200]
    spent_ms = (stretch.ended_s - stretch.began_s) * 1000
    return f"{escape(stretch.session[:12])}: {escape(what)}<br>{spent_ms:,.2f} ms"
