from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopai_lab.bench.measure import Arm, Row, bootstrap_median, figure, interleave, summarise
from loopai_lab.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

spans_ms = st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=200)


def arm(name: str, measure: Callable[[], Awaitable[list[float]]]) -> Arm:
    return Arm(name=name, group="all", role="ours", unit="ms", clock="nothing", measure=measure)


@given(spans_ms)
def test_the_percentiles_are_those_of_numpy(samples: list[float]) -> None:
    summary = summarise(samples)
    expected = np.percentile(samples, [50, 95, 99])
    assert np.allclose([summary.p50, summary.p95, summary.p99], expected, rtol=1e-9)
    assert math.isclose(summary.mean, float(np.mean(samples)), rel_tol=1e-9, abs_tol=1e-9)
    assert summary.n == len(samples)


@given(spans_ms)
def test_the_interval_of_the_median_lies_within_the_samples(samples: list[float]) -> None:
    low, high = bootstrap_median(samples, resamples=200)
    assert min(samples) <= low <= high <= max(samples)


@given(spans_ms)
@settings(max_examples=25)
def test_the_same_samples_and_seed_give_the_same_interval(samples: list[float]) -> None:
    assert bootstrap_median(samples, resamples=50, seed=3) == bootstrap_median(samples, resamples=50, seed=3)


@given(st.floats(0, 1e6), st.integers(1, 50))
@settings(max_examples=25)
def test_equal_samples_have_an_interval_without_width(value: float, count: int) -> None:
    assert bootstrap_median([value] * count, resamples=50) == (value, value)


def test_the_interval_holds_the_true_median_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    intervals = [bootstrap_median(list(random.exponential(1.0, 60)), resamples=300) for _ in range(200)]
    held = sum(low <= math.log(2) <= high for low, high in intervals)
    assert 0.88 <= held / len(intervals) <= 0.99


def test_a_sample_larger_than_the_bootstraps_memory_is_drawn_in_parts() -> None:
    low, high = bootstrap_median([float(number) for number in range(20_001)], resamples=120)
    assert 9_700 < low <= high < 10_300


def test_no_samples_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no samples"):
        summarise([])


async def test_arms_take_turns() -> None:
    turns: list[str] = []

    def taking(name: str) -> Arm:
        async def measure() -> list[float]:
            turns.append(name)
            return [float(len(turns))]

        return arm(name, measure)

    rounds: list[int] = []
    rows = await interleave([taking("A"), taking("B")], 3, on_round=rounds.append)

    assert turns == ["A", "B"] * 3
    assert rounds == [0, 1, 2]
    assert [(row.arm, row.round, row.samples) for row in rows] == [
        ("A", 0, (1.0,)),
        ("B", 0, (2.0,)),
        ("A", 1, (3.0,)),
        ("B", 1, (4.0,)),
        ("A", 2, (5.0,)),
        ("B", 2, (6.0,)),
    ]
    assert [row.began_s for row in rows] == sorted(row.began_s for row in rows)


async def test_an_arm_that_fails_leaves_its_reason_and_the_others_go_on() -> None:
    async def fails() -> list[float]:
        raise OSError("no such peer")

    async def gives_nothing() -> list[float]:
        return []

    async def works() -> list[float]:
        return [1.0]

    rows = await interleave([arm("A", fails), arm("B", gives_nothing), arm("C", works)], 1)

    assert [row.error for row in rows] == ["OSError: no such peer", "it gave no samples", None]
    assert isinstance(rows[0], Row)
    assert rows[2].samples == (1.0,)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0634, "0.063"), (1.0, "1.00"), (12.34, "12.3"), (123.4, "123"), (12345.0, "12,345")]
)
def test_a_figure_has_about_three_digits(value: float, text: str) -> None:
    assert figure(value) == text
