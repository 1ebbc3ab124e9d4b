"""Every notebook runs from top to bottom, prints what it says it prints, and is thin."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import MARK, left_after, new_mark

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
MOST_LINES = 8


def code_cells(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def tags(cell: dict[str, Any]) -> list[str]:
    found: list[str] = cell["metadata"].get("tags", [])
    return found


@pytest.mark.notebook
@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom_and_leaves_nothing(path: Path, scratch: Path) -> None:
    mark = new_mark()
    # A pytest of its own: nbval is a plugin with other settings than ours, and its failures read best by themselves.
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval-lax",
        "--nbval-current-env",
        "-p",
        "no:cacheprovider",
        str(path),
    ]
    checked = subprocess.run(
        [*command, "--rootdir", str(path.parent), "-c", os.devnull],
        env=os.environ | {MARK: mark, "TMPDIR": str(scratch), "IPYTHONDIR": str(scratch)},
        cwd=path.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout[-6000:] + checked.stderr[-2000:]
    assert f"{len(code_cells(path))} passed" in checked.stdout
    assert left_after(mark) == []
    assert not list(scratch.glob("loopai-lab-*"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_thin(path: Path) -> None:
    for cell in code_cells(path):
        source = "".join(cell["source"])
        assert len(source.splitlines()) <= MOST_LINES, source
        assert not re.search(r"^\s*(async )?def |^\s*class ", source, re.MULTILINE), source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_can_be_given_parameters_and_checks_what_it_says(path: Path) -> None:
    cells = code_cells(path)
    assert tags(cells[0]) == ["parameters"]
    checked = [cell for cell in cells if "nbval-check-output" in tags(cell)]
    assert checked
    assert all(cell["outputs"] for cell in checked)


def test_there_are_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS][:1] == ["01_quickstart.ipynb"]
