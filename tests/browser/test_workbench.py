"""The workbench as its user meets it: a real JupyterLab, a real Chromium, a real kernel, real clicks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.notebook_page import NotebookPage

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]


def test_run_moves_both_curves_and_stop_keeps_what_was_finished(workbench: NotebookPage) -> None:
    workbench.choose("sleep", concurrency=2)

    workbench.run_button.click()
    workbench.wait_until_both_grew(levels=0, items=0)
    levels, items = workbench.points()["active"], workbench.items_drawn()
    workbench.wait_until_both_grew(levels=levels, items=items)
    workbench.wait_for_status("Running")
    workbench.picture("running")
    workbench.stop_button.click()

    stopped = workbench.wait_for_status(r"Stopped: \d+ of 50")
    kept = int(re.findall(r"Stopped: (\d+) of 50 finished and are kept", stopped)[0])
    assert items < kept < 50
    assert workbench.execute("print((workbench.run.to_frame().status == 'success').sum())") == str(kept)
    workbench.wait_until_both_grew(levels=levels, items=kept - 1)
    assert workbench.items_drawn() == kept


def test_run_can_be_pressed_again_and_then_no_item_is_cold(workbench: NotebookPage) -> None:
    workbench.choose("source-metrics", concurrency=6)
    for _ in range(2):
        workbench.run_button.click()
        workbench.wait_for_status("Running")
        status = workbench.wait_for_status(r"Completed: ([\d,]+) of \1 finished")
        assert "sandbox: " in status

    assert workbench.execute("print(workbench.run.to_frame().reused.mean() > 0.98)") == "True"


def test_the_charts_move_while_a_cell_blocks_the_kernel(workbench: NotebookPage, tmp_path: Path) -> None:
    # Long enough to be still running when the slowest machine has blocked its kernel.
    program = "ll.Program(code='import time; time.sleep(0.1); result = 1')"
    workbench.execute(f"workbench.watch(workbench.lab.start({program}, range(2000), max_concurrency=1))")
    workbench.wait_for_status("Running")
    go_on = tmp_path / "go-on"
    workbench.post(f"import pathlib, time\nwhile not pathlib.Path({str(go_on)!r}).exists(): time.sleep(0.05)")
    workbench.wait_for_kernel("busy")
    levels, items = workbench.points()["active"], workbench.items_drawn()

    workbench.wait_until_both_grew(levels=levels, items=items + 8)

    assert workbench.kernel_status() == "busy"
    go_on.touch()
    workbench.wait_for_kernel("idle")
    workbench.stop_button.click()
    workbench.wait_for_status(r"Stopped: \d+ of 2,000")


def test_what_cannot_run_is_said_in_the_message_area(workbench: NotebookPage) -> None:
    workbench.execute("workbench.form.language.options = ('python', 'cobol')")
    workbench.workbench.get_by_role("combobox", name="Language").select_option("cobol")

    workbench.run_button.click()

    workbench.workbench.get_by_text("has no cobol program").wait_for()
    assert workbench.run_button.is_enabled()
