"""`run.show()`: any run, live, with a Stop button."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import loopai_lab as ll

pytestmark = pytest.mark.integration


@pytest.fixture
def lab() -> Iterator[ll.Lab]:
    with ll.Lab(max_size=2) as lab:
        yield lab


def test_a_run_shows_its_items_as_they_finish(lab: ll.Lab) -> None:
    run = lab.start(ll.Program(code="result = input_data", name="echo"), range(20), max_concurrency=2)
    view = run.show()
    assert view.wait(60)
    assert "20 of 20" in repr(view)
    assert sum(len(trace.x) for trace in view.chart.figure.data if trace.name.endswith(" ok")) == 20
    view.close()


def test_a_run_that_has_ended_can_still_be_shown(lab: ll.Lab) -> None:
    lab.run(ll.Program(code="result = input_data"), range(5), progress=False)
    view = lab.runs[-1].show()
    assert view.wait(60)
    assert "5 of 5" in repr(view)
    assert "5 of 5" in view._repr_mimebundle_()["text/html"]
    view.close()


def test_its_stop_button_cancels_the_run_and_keeps_what_was_finished(lab: ll.Lab) -> None:
    program = ll.Program(code="import time\ntime.sleep(input_data)\nresult = 1")
    run = lab.start(program, [0, 0, 60, 60], max_concurrency=1)
    view = run.show()
    while run.progress.done < 2:
        assert not run.wait(0.02)
    view.stop_button.click()
    assert view.wait(60)
    assert run.result().success_count == 2
    assert run.status == "cancelled"
    assert view.stop_button.disabled
    view.close()
