from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
import pytest

from loopai_lab.bench.charts import MOST_POINTS, latency_ecdf, latency_over_time, rates, stacked_spans
from loopai_lab.bench.page import Mark, Noted, Section, Source, Table, Tile
from loopai_lab.bench.report import RunView, run_sections, to_figure, write_report
from loopai_lab.bench.timeline import Stretch, merged, session_timeline, stretches
from loopai_lab.models import BatchResult, ItemResult, SessionPoolStatistics
from loopai_lab.pool.events import Kind, PoolEvent

if TYPE_CHECKING:
    from pathlib import Path

    from loopai_lab.models import Status

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def item(number: int, *, status: Status = "success", reused: bool = True, **facts: Any) -> ItemResult:
    given: dict[str, Any] = {
        "item_id": f"row-{number}",
        "queue_ms": 0.5,
        "execute_ms": 1.0 + number % 7,
        "finished_ms": 2.0 * number,
    }
    return ItemResult(execution_id=str(number), index=number, status=status, reused=reused, **given | facts)


def batch(*items: ItemResult) -> BatchResult:
    good = sum(each.success for each in items)
    skipped = sum(each.status == "skipped" for each in items)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return BatchResult(
        batch_id="b",
        task_id=None,
        program_id="p",
        version=1,
        total_items=len(items),
        success_count=good,
        failure_count=len(items) - good - skipped,
        skipped_count=skipped,
        cancelled_count=0,
        total_duration_ms=100.0,
        avg_latency_ms=1.0,
        p50_ms=1.0,
        p95_ms=2.0,
        p99_ms=3.0,
        throughput=10.0 * len(items),
        items=items,
        started_at=now,
        completed_at=now,
        session_pool_stats=SessionPoolStatistics(),
    )


def event(kind: Kind, at: float, session: str, **facts: Any) -> PoolEvent:
    return PoolEvent(kind, at, "python", session, **facts)


EVENTS = [
    event("creating", 10.0, "new-1"),
    event("creating", 10.1, "new-2"),
    event("created", 10.5, "s1", reason="new-1"),
    event("acquired", 10.5, "s1", item_id="row-0"),
    event("create_failed", 10.6, "new-2", reason=f"BeakerError: {EVIL}"),
    event("released", 11.0, "s1", item_id="row-0"),
    event("acquired", 11.5, "s1", item_id=EVIL),
    event("acquired", 11.6, "s0", item_id="row-2"),
    event("released", 11.9, "s1", item_id=EVIL),
    event("closing", 12.0, "s1", reason="timeout"),
    event("closed", 12.2, "s1"),
]


class Loads(HTMLParser):
    """Collect what a page would fetch, and what scripts and handlers it has."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.handlers: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.urls += [value or "" for name, value in attrs if name in {"src", "href", "data", "action"}]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def written(path: Path, *sections: Section) -> tuple[str, Loads]:
    page = write_report(path / "report.html", "A report", sections, subtitle="here").read_text(encoding="utf-8")
    loads = Loads()
    loads.feed(page)
    loads.close()
    return page, loads


# -- the page ---------------------------------------------------------------------------------------------------------


def test_a_report_loads_nothing_from_anywhere(tmp_path: Path) -> None:
    view = RunView("cold", batch(item(0, reused=False), item(1), item(2)), EVENTS)
    page, loads = written(tmp_path, *run_sections([view]))
    assert [url for url in loads.urls if not url.startswith("#")] == []
    assert not {"link", "iframe", "img", "base", "object"} & set(loads.tags)
    assert "Content-Security-Policy" in page
    assert "default-src 'none'" in page
    assert page.count("Plotly.newPlot(") == 5
    assert page.count("plotly.js v") == 1


def test_a_report_without_charts_carries_no_drawing_library(tmp_path: Path) -> None:
    page, _ = written(tmp_path, Section(heading="Words"))
    assert len(page) < 20_000


def test_whatever_users_write_is_shown_as_text(tmp_path: Path) -> None:
    bad = item(3, status="error", item_id=EVIL, error_message=f"ValueError: {EVIL}", finished_ms=1.0)
    view = RunView(EVIL, batch(item(0), bad), EVENTS)
    clean = RunView("run", batch(item(0)), EVENTS)
    page, loads = written(tmp_path, *run_sections([view]))
    _, reference = written(tmp_path, *run_sections([clean]))
    assert EVIL not in page
    assert loads.handlers == []
    assert "img" not in loads.tags
    # Besides the drawing library there is one script per chart, with evil names as with good ones.
    assert loads.tags.count("script") == reference.tags.count("script")


def test_every_kind_of_text_in_a_section_is_escaped(tmp_path: Path) -> None:
    cells = (EVIL, Mark(EVIL), Source(EVIL), Noted(EVIL, EVIL), (EVIL, EVIL))
    table = Table(columns=[EVIL] * 5, rows=[cells], caption=EVIL)
    page, loads = written(tmp_path, Section(heading=EVIL, text=EVIL, tiles=[Tile(EVIL, EVIL, EVIL)], tables=[table]))
    assert EVIL not in page
    assert "script" not in loads.tags
    assert loads.handlers == []


def test_texts_that_utf8_cannot_say_do_not_stop_a_report(tmp_path: Path) -> None:
    odd = item(1, status="error", item_id="nom\udce9.py", error_message="bad byte \udcff", finished_ms=1.0)
    view = RunView("odd", batch(item(0), odd), [event("acquired", 0.0, "s1", item_id="\udce9")])
    page, _ = written(tmp_path, *run_sections([view]))
    assert "nom\\udce9.py" in page


def test_numbers_stand_right_and_words_left(tmp_path: Path) -> None:
    table = Table(columns=("name", "count", "ms"), rows=[("a", 1234, 0.5), ("b", None, 1234.5)])
    page, _ = written(tmp_path, Section(heading="Table", tables=[table]))
    assert '<td class="number">1,234</td><td class="number">0.500</td>' in page
    assert '<td>b</td><td class="number">-</td><td class="number">1,234</td>' in page.replace("1,235", "1,234")


def test_a_report_takes_plotly_figures_as_they_are(tmp_path: Path) -> None:
    page, _ = written(tmp_path, Section(heading="Mine", figures=[go.Figure(go.Bar(x=[1], y=[2]))]))
    assert page.count("Plotly.newPlot(") == 1


def test_runs_that_had_nothing_to_do_make_a_report_too(tmp_path: Path) -> None:
    page, _ = written(tmp_path, *run_sections([RunView("empty", batch())]))
    assert "Nothing ran" in page


def test_a_run_in_which_everything_was_skipped_makes_a_report_too(tmp_path: Path) -> None:
    nothing = item(0, status="skipped", execute_ms=0.0, queue_ms=0.0)
    page, _ = written(tmp_path, *run_sections([RunView("skipped", batch(nothing))]))
    assert page.count("Plotly.newPlot(") == 4


# -- the charts -------------------------------------------------------------------------------------------------------


def test_cold_and_warm_and_every_status_differ_in_symbol_and_colour() -> None:
    kinds: list[Status] = ["error", "timeout", "lost", "cancelled"]
    items = [item(0, reused=False), item(1), *(item(n, status=kind) for n, kind in enumerate(kinds, 2))]
    figure = to_figure(latency_over_time([RunView("run", batch(*items))]))
    looks = {trace.name: (trace.marker.symbol, trace.marker.color) for trace in figure.data}
    assert len(looks) == 6
    assert len({symbol for symbol, _ in looks.values()}) == 6
    assert len({colour for _, colour in looks.values()}) == 6


def test_skipped_items_have_no_latency_to_draw() -> None:
    view = RunView("run", batch(item(0), item(1, status="skipped", execute_ms=0.0, queue_ms=0.0)))
    assert [each.item_id for each in view.ran] == ["row-0"]


def test_a_long_run_keeps_its_failures_and_its_slowest_in_the_picture() -> None:
    items = [item(number) for number in range(4 * MOST_POINTS)]
    items[7] = item(7, status="error")
    items[9] = item(9, execute_ms=999.0)
    chart = latency_over_time([RunView("long", batch(*items))])
    names = {name for trace in chart["data"] for name in trace["text"]}
    assert len(names) <= 1.1 * MOST_POINTS
    assert {"row-7", "row-9"} <= names
    assert "of 12,000 shown" in chart["layout"]["annotations"][0]["text"]


def test_the_ecdf_ends_at_the_slowest_and_at_one() -> None:
    chart = latency_ecdf([("run", [3.0, 1.0, 2.0]), ("long", [float(n + 1) for n in range(5000)])])
    short, long = chart["data"]
    assert short["x"] == [1.0, 1.0, 2.0, 3.0]
    assert short["y"] == pytest.approx([0.0, 1 / 3, 2 / 3, 1.0])
    assert (long["x"][-1], long["y"][-1]) == (5000.0, 1.0)
    assert len(long["x"]) < 1000


def test_the_stacked_spans_are_the_means() -> None:
    views = [RunView("run", batch(item(0, execute_ms=1.0), item(1, execute_ms=3.0)))]
    bars = {trace["name"]: trace["x"] for trace in stacked_spans(views)["data"]}
    assert bars == {"queue": [0.5], "create": [0.0], "transport": [0.0], "execute": [2.0]}


def test_rates_far_apart_are_drawn_on_a_logarithmic_axis() -> None:
    assert "type" not in rates([("a", 10.0), ("b", 20.0)])["layout"]["xaxis"]
    assert rates([("a", 10.0), ("b", 2000.0)])["layout"]["xaxis"]["type"] == "log"
    assert to_figure(rates([("a", 0.0)])).data[0].x == (0.0,)


def test_every_chart_is_one_that_plotly_accepts() -> None:
    views = [RunView("a", batch(item(0), item(1, reused=False)), EVENTS), RunView("b", batch(item(0)))]
    for section in run_sections(views):
        assert all(isinstance(to_figure(figure), go.Figure) for figure in section.figures)


# -- the timeline -----------------------------------------------------------------------------------------------------


def test_a_timeline_shows_creations_uses_and_ends_under_the_sessions_own_id() -> None:
    found = [(each.session, each.doing, each.began_s, each.ended_s) for each in stretches(EVENTS)]
    assert found == [
        ("s1", "creating", 10.0, 10.5),
        ("new-2", "creation failed", 10.1, 10.6),
        ("s1", "active", 10.5, 11.0),
        ("s1", "active", 11.5, 11.9),
        ("s0", "active", 11.6, 12.2),
        ("s1", "closing", 12.0, 12.2),
    ]


def test_what_has_not_ended_ends_with_the_last_event() -> None:
    found = stretches([event("creating", 1.0, "new-1"), event("closing", 2.0, "s9"), event("queued", 3.0, "")])
    assert [(each.doing, each.ended_s) for each in found] == [("creating", 3.0), ("closing", 3.0)]


def test_a_session_that_was_passed_on_is_not_active_any_more() -> None:
    found = stretches([event("acquired", 1.0, "s1"), event("passed_on", 2.0, "s1"), event("resized", 9.0, "")])
    assert [(each.doing, each.ended_s) for each in found] == [("active", 2.0)]


def test_uses_closer_than_a_pixel_become_one_bar_that_says_how_many() -> None:
    use = Stretch(session="s1", doing="active", began_s=0.0, ended_s=1.0, note="row-0")
    soon, later = replace(use, began_s=1.0005, ended_s=2.0), replace(use, began_s=2.5, ended_s=3.0)
    elsewhere = replace(use, session="s2", began_s=1.0001, ended_s=1.1)
    joined = merged([use, elsewhere, soon, later], pause_s=0.001)
    assert [(each.session, each.began_s, each.ended_s, each.uses) for each in joined] == [
        ("s1", 0.0, 2.0, 2),
        ("s2", 1.0001, 1.1, 1),
        ("s1", 2.5, 3.0, 1),
    ]


def test_the_timeline_has_one_row_per_session_and_bars_from_their_beginning() -> None:
    chart = session_timeline(RunView("run", batch(item(0)), EVENTS))
    bars = {trace["name"]: trace for trace in chart["data"]}
    assert set(bars) == {"creating", "active", "closing", "creation failed"}
    assert chart["layout"]["yaxis"]["categoryarray"] == ["session 1", "session 2", "session 3"]
    assert bars["active"]["base"] == pytest.approx([0.5, 1.5, 1.6])
    assert bars["active"]["x"] == pytest.approx([0.5, 0.4, 0.6])
    assert all(re.fullmatch(r"session \d", row) for trace in chart["data"] for row in trace["y"])
    assert not any("<script" in text for trace in chart["data"] for text in trace["text"])
