"""Cells in a real kernel: awaiting, blocking, interrupted; with the event loop as it is, and nested on demand."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

from tests.support.processes import MARK, left_after, new_mark

pytestmark = [pytest.mark.integration, pytest.mark.slow]
LONG_S = 60
SETUP = """
import asyncio, sys
import loopai_lab as ll
before = type(asyncio.get_running_loop()), asyncio.run, asyncio.Task
lab = ll.Lab(max_size=3)
double = ll.Program(code="result = input_data * 2")
"""


class Cells:
    """Run cells in a kernel and return what they printed."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client

    def run(self, code: str) -> str:
        return self.finish(self.start(code))

    def start(self, code: str) -> str:
        return str(self.client.execute(code))

    def finish(self, cell: str) -> str:
        """Wait until a cell has ended and return its standard output; its error is this test's error."""
        printed = ""
        for kind, content in self._messages(cell):
            if kind == "stream" and content["name"] == "stdout":
                printed += content["text"]
            if kind == "error":
                raise AssertionError("\n".join(content["traceback"]))
        return printed.strip()

    def _messages(self, cell: str) -> Iterator[tuple[str, dict[str, Any]]]:
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=LONG_S)
            except Empty:
                raise AssertionError(f"the kernel was silent for {LONG_S} s") from None
            if message["parent_header"].get("msg_id") != cell:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return
            yield kind, content


@pytest.fixture
def cells(scratch: Path) -> Iterator[Cells]:
    """A kernel with a lab in it; when it is shut down nothing of it may be left."""
    mark = new_mark()
    environment = os.environ | {MARK: mark, "TMPDIR": str(scratch), "IPYTHONDIR": str(scratch)}
    manager, client = start_new_kernel(kernel_name="python3", env=environment)
    try:
        cells = Cells(manager, client)
        cells.run(SETUP)
        yield cells
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
        manager.cleanup_resources()
    assert left_after(mark) == []
    assert not list(scratch.glob("loopai-lab-*"))


def test_await_at_top_level_and_lab_run_work_with_the_event_loop_as_it_is(cells: Cells) -> None:
    assert cells.run("print((await lab.start(double, range(20))).success_count)") == "20"
    assert cells.run("print(lab.run(double, range(20), progress=False).success_count)") == "20"
    assert (
        cells.run("async with ll.connect() as b, ll.SessionPool(b) as p:\n    print(p.statistics().total_sessions)")
        == "0"
    )
    assert cells.run("print(before == (type(asyncio.get_running_loop()), asyncio.run, asyncio.Task))") == "True"
    assert cells.run("print('nest_asyncio' in sys.modules, 'nest_asyncio2' in sys.modules)") == "False False"


def test_the_progress_bar_and_the_workbench_work_without_nesting_too(cells: Cells) -> None:
    cells.run("lab.run(double, range(20))")
    cells.run("workbench = lab.workbench()\nworkbench.form.task.value = 'fail-every-fifth'\nworkbench.form.run.click()")
    assert cells.run("print(workbench.wait(60), len(workbench.run.to_frame()))") == "True 50"
    assert cells.run("print('nest_asyncio' in sys.modules, 'nest_asyncio2' in sys.modules)") == "False False"


def test_asyncio_run_is_refused_in_a_cell_until_nesting_is_allowed(cells: Cells) -> None:
    refused = "import contextlib\ncoroutine = asyncio.sleep(0, 'slept')\n"
    refused += (
        "try:\n    asyncio.run(coroutine)\nexcept RuntimeError as error:\n    print(error)\n    coroutine.close()"
    )
    assert "cannot be called from a running event loop" in cells.run(refused)

    cells.run("ll.allow_nested_loops()")

    assert cells.run("print(asyncio.run(asyncio.sleep(0, 'slept')))") == "slept"
    assert cells.run("print((await lab.start(double, range(20))).success_count)") == "20"
    assert cells.run("print(lab.run(double, range(20), progress=False).success_count)") == "20"
    inside = (
        "async def whole():\n    return (await lab.start(double, range(20))).success_count\nprint(asyncio.run(whole()))"
    )
    assert cells.run(inside) == "20"


def test_an_interrupt_during_lab_run_keeps_what_had_finished_and_the_lab_goes_on(cells: Cells, scratch: Path) -> None:
    sign = scratch / "an item has ended"
    cells.run(f"import pathlib\nsign = pathlib.Path({str(sign)!r})")
    cells.run("slow = ll.Program(code='import time\\ntime.sleep(0.05)\\nresult = input_data')")
    cells.run("lab.pool.events.subscribe(lambda event: event.kind == 'released' and sign.touch())")

    cell = cells.start(
        "result = lab.run(slow, range(2000), max_concurrency=2, progress=False)\n"
        "print(result.total_items, result.success_count + result.cancelled_count, 0 < result.success_count < 2000)"
    )
    wait_for(sign)
    cells.manager.interrupt_kernel()

    assert cells.finish(cell) == "2000 2000 True"
    assert cells.run("print([item.output == item.index for item in result.items if item.success].count(False))") == "0"
    assert cells.run("print(lab.run(double, range(20), progress=False).success_count)") == "20"
    assert cells.run("lab.close()\nprint(lab)") == "<Lab closed>"


def wait_for(path: Path) -> None:
    """Wait until a file is there; the kernel is busy and can say nothing else."""
    end = time.monotonic() + LONG_S
    while not path.exists():
        assert time.monotonic() < end, f"{path.name!r} did not come within {LONG_S} s"
        time.sleep(0.01)
