"""How a run stands, in words: what a person reads, and nothing that a program printed is taken for HTML."""

from __future__ import annotations

import pytest

from loopai_lab.errors import PoolClosed
from loopai_lab.workbench.state import Standing
from loopai_lab.workbench.words import details, fallback_html, headline, message_html, span, status_html


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (Standing(), "Ready"),
        (Standing(phase="running", total=1500, finished=20), "Running: 20 of 1,500 finished"),
        (Standing(phase="stopping", total=50, finished=20), "Stopping: 20 of 50 finished"),
        (Standing(phase="completed", total=50, finished=50, seconds=2.04), "Completed: 50 of 50 finished in 2.0 s"),
        (Standing(phase="cancelled", total=50, finished=20), "Stopped: 20 of 50 finished and are kept, 30 cancelled"),
        (Standing(phase="failed", total=50, finished=20), "Failed: 20 of 50 finished and are kept"),
    ],
)
def test_the_headline_says_how_it_stands(standing: Standing, words: str) -> None:
    assert headline(standing) == words


def test_a_running_batch_tells_its_rate_what_is_left_and_who_waits() -> None:
    now = Standing(phase="running", rate=3.21, eta_s=75, failed=2, waiting=5, limit=10, sandbox="plain")
    assert details(now) == [
        "3.2 items/s",
        "1 min 15 s left",
        "2 failed",
        "5 wait for one of 10 sessions",
        "sandbox: plain",
    ]


def test_the_sandbox_in_force_is_always_said() -> None:
    assert details(Standing(sandbox="bubblewrap")) == ["sandbox: bubblewrap"]
    assert "sandbox: unknown" in status_html(Standing())


def test_failures_are_marked_by_a_sign_and_not_by_colour_alone() -> None:
    assert "✗ 3 failed" in status_html(Standing(phase="running", failed=3))
    assert "✗" not in status_html(Standing(phase="running", failed=0))


def test_the_bar_is_as_long_as_what_is_finished() -> None:
    assert 'value="0.2500"' in status_html(Standing(phase="running", total=8, finished=2))
    assert 'value="0.0000"' in status_html(Standing(phase="completed"))


def test_an_error_of_ours_is_its_text_and_any_other_has_its_traceback_to_unfold() -> None:
    assert "<b>PoolClosed</b>: make a new one" in message_html(PoolClosed("make a new one"))
    assert "<details>" not in message_html(PoolClosed("make a new one"))
    assert "<details>" in message_html(KeyError("x"))


def test_markup_in_a_message_is_shown_and_not_obeyed() -> None:
    assert "<script>" not in message_html(RuntimeError("<script>alert(1)</script>"))
    assert "<i>" not in fallback_html("<i>task</i>", Standing())


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (3725, "62 min 05 s")]
)
def test_a_span_of_time_is_said_as_people_say_it(seconds: float, words: str) -> None:
    assert span(seconds) == words
