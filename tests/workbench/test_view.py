"""The workbench without a browser: its buttons pressed, its figure read, a real lab behind it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import loopai_lab as ll
from loopai_lab.workbench.bundle import VIEW
from loopai_lab.workbench.view import Workbench

pytestmark = pytest.mark.integration
LONG_S = 60


@pytest.fixture(scope="module")
def lab() -> Iterator[ll.Lab]:
    with ll.Lab(max_size=4) as lab:
        yield lab


@pytest.fixture
def workbench(lab: ll.Lab) -> Iterator[Workbench]:
    workbench = lab.workbench()
    yield workbench
    if workbench.run is not None:
        workbench.run.cancel()
    workbench.close()
    assert not watches()


def watches() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("watch")]


def traces(workbench: Workbench) -> dict[str, Any]:
    return {trace.name: trace for trace in workbench.chart.figure.data}


def items_drawn(workbench: Workbench) -> int:
    return sum(len(trace.x) for name, trace in traces(workbench).items() if " " in name)


def choose(workbench: Workbench, task: str, concurrency: int) -> None:
    workbench.form.task.value = task
    workbench.form.concurrency.value = concurrency


def test_it_offers_every_task_and_its_languages(workbench: Workbench) -> None:
    assert list(workbench.form.task.options) == ["source-metrics", "sleep", "fail-every-fifth"]
    for task in workbench.form.task.options:
        workbench.form.task.value = task
        assert workbench.form.language.value == "python"
    assert (workbench.form.concurrency.min, workbench.form.concurrency.max) == (1, 100)


def test_run_draws_every_item_and_the_sessions_that_served_them(workbench: Workbench) -> None:
    choose(workbench, "sleep", 4)
    workbench.form.run.click()
    assert workbench.form.run.disabled
    assert not workbench.form.stop.disabled
    assert workbench.wait(LONG_S)

    assert items_drawn(workbench) == 50
    assert traces(workbench)["active"].y.max() == pytest.approx(4, abs=0.5)
    assert traces(workbench)["active"].y[-1] < 4
    assert "Completed: 50 of 50 finished" in workbench.status.value
    assert not workbench.form.run.disabled
    assert workbench.lab.runs[-1].task_id == "sleep"


def test_failed_items_are_drawn_apart(workbench: Workbench) -> None:
    choose(workbench, "fail-every-fifth", 2)
    workbench.form.run.click()
    assert workbench.wait(LONG_S)
    failed = len(traces(workbench)["warm failed"].x) + len(traces(workbench)["cold failed"].x)
    assert (failed, items_drawn(workbench)) == (10, 50)
    assert "10 failed" in workbench.status.value


def test_stop_keeps_what_was_finished(workbench: Workbench) -> None:
    choose(workbench, "sleep", 2)
    some = watch_for_items(workbench, 3)
    workbench.form.run.click()
    assert some.wait(LONG_S)
    workbench.form.stop.click()
    assert workbench.wait(LONG_S)

    assert workbench.run is not None
    statuses = workbench.run.to_frame()["status"].value_counts()
    assert 3 <= statuses["success"] < 50
    assert statuses["success"] + statuses["cancelled"] == 50
    assert f"Stopped: {statuses['success']} of 50 finished and are kept" in workbench.status.value
    assert items_drawn(workbench) == statuses["success"]
    assert workbench.lab.runs[-1] is workbench.run


def watch_for_items(workbench: Workbench, count: int) -> threading.Event:
    """Return an event that is set once the status line tells of so many finished items."""
    seen = threading.Event()

    def look(_: Any) -> None:
        if workbench.run is not None and len(workbench.run.results) >= count:
            seen.set()

    workbench.status.observe(look, names="value")
    return seen


def test_a_second_click_while_it_runs_starts_nothing(workbench: Workbench) -> None:
    choose(workbench, "sleep", 4)
    workbench.form.run.click()
    runs = len(workbench.lab.runs)
    workbench.form.run.click()
    assert len(workbench.lab.runs) == runs


def test_two_runs_follow_each_other_and_the_second_finds_the_sessions_of_the_first(workbench: Workbench) -> None:
    choose(workbench, "fail-every-fifth", 2)
    for _ in range(2):
        workbench.form.run.click()
        assert workbench.wait(LONG_S)
    assert items_drawn(workbench) == 50
    levels = traces(workbench)
    have = sum(levels[name].y[-2] for name in ("active", "idle", "creating", "closing"))
    assert have == pytest.approx(workbench.lab.statistics().total_sessions, abs=0.5)


def test_it_shows_a_run_that_a_cell_started(workbench: Workbench) -> None:
    run = workbench.lab.start(ll.Program(code="result = 1"), range(30))
    workbench.watch(run)
    assert workbench.wait(LONG_S)
    assert items_drawn(workbench) == 30
    assert workbench.run is run
    assert repr(workbench).startswith("<Workbench a program: Completed: 30 of 30 finished")


def test_an_error_of_a_callback_is_shown_in_the_message_area(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ll.ServerUnavailable("nobody <there>")

    monkeypatch.setattr(workbench.lab, "start", refuse)
    workbench.form.run.click()
    assert "<b>ServerUnavailable</b>: nobody &lt;there&gt;" in workbench.message.value
    assert not workbench.form.run.disabled


def test_an_error_while_drawing_is_shown_and_ends_the_watch(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("no ink")

    monkeypatch.setattr(workbench.chart, "draw", fail)
    workbench.form.run.click()
    assert workbench.wait(LONG_S)
    assert "no ink" in workbench.message.value


def test_a_saved_notebook_keeps_words_beside_the_live_view(workbench: Workbench) -> None:
    bundle = workbench._repr_mimebundle_()
    assert bundle[VIEW]["model_id"] == workbench.box.model_id
    assert "Workbench" in bundle["text/html"]
    assert bundle["text/plain"] == repr(workbench)
    workbench.close()
    assert set(workbench._repr_mimebundle_()) == {"text/html", "text/plain"}


def test_closing_ends_the_watch_and_not_the_run(lab: ll.Lab) -> None:
    workbench = lab.workbench()
    choose(workbench, "sleep", 4)
    workbench.form.run.click()
    run = workbench.run
    assert watches()
    workbench.close()
    workbench.close()
    assert not watches()
    assert run is not None
    assert not run.done
    assert run.result(LONG_S).success_count == 50


def test_a_closed_lab_has_no_workbench() -> None:
    lab = ll.Lab()
    lab.close()
    with pytest.raises(ll.PoolClosed, match="make a new one"):
        lab.workbench()
