"""Interpreters that end with a lab or a pool still open: they end at once, say nothing, and leave nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import MARK, left_after, new_mark

pytestmark = pytest.mark.integration

ENDINGS = {
    "a lab that ran": "lab = ll.Lab(max_size=2)\nlab.run(double, [1, 2], progress=False)\n",
    "a lab in the middle of a run": "lab = ll.Lab(max_size=2)\nrun = lab.start(sleep, range(9))\nrun.wait(0.5)\n",
    "a lab after an exception": "lab = ll.Lab(max_size=2)\nlab.run(double, [1], progress=False)\nraise SystemExit(0)\n",
    "a pool that its loop ended under": (
        "import asyncio\n"
        "async def main():\n"
        "    beaker = ll.connect()\n"
        "    pool = ll.SessionPool(beaker)\n"
        "    await ll.BatchExecutor(pool).execute_batch(double, [1])\n"
        "    global kept\n"
        "    kept = beaker, pool\n"
        "asyncio.run(main())\n"
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_interpreter_that_ends_with_something_open_leaves_nothing(ending: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    programs = (
        "double = ll.Program(code='result = input_data * 2')\nsleep = ll.Program(code='import time; time.sleep(60)')\n"
    )
    script.write_text(f"import loopai_lab as ll\n{programs}{ENDINGS[ending]}")
    mark = new_mark()
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=False, env=os.environ | {MARK: mark}
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "Traceback" not in done.stderr
    assert left_after(mark) == []
