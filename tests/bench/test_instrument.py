from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from loopai_lab.bench import arms
from loopai_lab.bench.instrument import BenchOptions, main
from loopai_lab.errors import InvalidOption

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("rounds", [0, -1, 2.5, True])
def test_rounds_that_cannot_be_are_refused(rounds: int) -> None:
    with pytest.raises(InvalidOption, match="rounds="):
        BenchOptions(rounds=rounds)


@pytest.mark.parametrize("rounds", [1, 3, 5, 40])
def test_however_many_rounds_there_are_at_least_20_sessions_and_7_imports_are_measured(rounds: int) -> None:
    options = BenchOptions(rounds=rounds)
    assert options.rounds_run * options.sizes.creations >= 20
    assert options.rounds_run * options.sizes.imports >= 7


def test_quick_is_two_rounds_at_most() -> None:
    assert BenchOptions(quick=True).rounds_run == 2
    assert BenchOptions(rounds=1, quick=True).rounds_run == 1


@pytest.mark.integration
@pytest.mark.slow
def test_a_quick_run_measures_every_arm_and_writes_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, page = tmp_path / "bench.json", tmp_path / "bench.html"

    code = main(rounds=2, json_path=raw, html_path=page, quick=True)

    shown = capsys.readouterr()
    assert code == 0
    assert "FAILED" not in shown.out
    assert f"{arms.PIPE} + {arms.ECHO}" in shown.out
    assert "round 2 of 2" in shown.err
    kept = json.loads(raw.read_text())
    names = [each["name"] for each in kept["readings"]]
    assert [(row["arm"], row["round"]) for row in kept["rows"]] == [(name, n) for n in (0, 1) for name in names]
    assert all(row["samples"] and min(row["samples"]) > 0 for row in kept["rows"])
    assert all(each["met"] in {True, False} for each in kept["verdicts"])
    assert kept["environment"]["sandbox"]
    assert {arms.PIPE, arms.ECHO, arms.SESSION_ONE, arms.ITEM_PACED, arms.CREATE, arms.POOL_PAIR} <= set(names)
    assert page.read_text().count("Plotly.newPlot(") == 4
