"""Series of bounded size keep what a chart is read for: the area under a curve, the envelope of a cloud."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopai_lab.workbench.series import Cloud, Levels, thinned

STRETCHES = st.lists(st.tuples(st.floats(0.001, 40.0), st.integers(0, 100)), min_size=1, max_size=60)


def area(levels: Levels) -> float:
    seconds, means = levels.steps()
    return float((means[0][:-1] * np.diff(seconds)).sum())


def test_a_level_is_drawn_from_its_beginning_to_its_end() -> None:
    levels = Levels(2, slice_s=0.5)
    levels.hold([3, 1], 1.0)
    levels.hold([5, 0], 2.0)
    seconds, means = levels.steps()
    assert seconds.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert means.tolist() == [[3, 3, 5, 5, 5], [1, 1, 0, 0, 0]]


def test_a_slice_that_saw_two_levels_shows_their_average_over_time() -> None:
    levels = Levels(1, slice_s=1.0)
    levels.hold([8], 0.25)
    levels.hold([0], 1.0)
    assert levels.steps()[1][0][0] == pytest.approx(2.0)


def test_the_slice_that_has_only_begun_is_averaged_over_what_there_is_of_it() -> None:
    levels = Levels(1, slice_s=1.0)
    levels.hold([4], 2.5)
    assert levels.steps()[0].tolist() == [0.0, 1.0, 2.0, 2.5]
    assert levels.steps()[1][0].tolist() == [4, 4, 4, 4]


def test_a_second_that_is_over_changes_nothing() -> None:
    levels = Levels(1, slice_s=1.0)
    levels.hold([4], 3.0)
    before = levels.steps()
    levels.hold([9], 2.0)
    assert np.array_equal(before[1], levels.steps()[1])


def test_nothing_seen_is_nothing_drawn() -> None:
    seconds, means = Levels(4).steps()
    assert seconds.shape == (0,)
    assert means.shape == (4, 0)


@given(STRETCHES)
def test_the_area_under_the_curve_stays_however_long_it_gets(stretches: list[tuple[float, int]]) -> None:
    levels = Levels(1, limit=20, slice_s=1 / 64)
    until = expected = 0.0
    for length, count in stretches:
        until += length
        expected += length * count
        levels.hold([count], until)
    assert len(levels.steps()[0]) <= 21
    assert levels.steps()[0][-1] == pytest.approx(until)
    assert area(levels) == pytest.approx(expected)


def test_few_points_are_all_drawn_in_the_order_of_their_arrival() -> None:
    cloud = Cloud(limit=10)
    cloud.add([(2.0, 5.0, 0), (1.0, 7.0, 1)])
    cloud.add([(3.0, 6.0, 2)])
    assert cloud.points()[:, 2].tolist() == [0, 1, 2]


def test_an_empty_cloud_has_no_points() -> None:
    assert Cloud().points().shape == (0, 3)


def test_many_points_are_thinned_to_the_limit_and_the_extremes_stay() -> None:
    cloud = Cloud(limit=100)
    values = [10.0 + (number * 7919 % 1000) / 1000 for number in range(20_000)]
    values[12_345], values[17] = 99.0, 0.5
    for start in range(0, len(values), 700):
        cloud.add([(number / 100, values[number], number) for number in range(start, min(start + 700, len(values)))])
    kept = cloud.points()
    assert len(kept) <= 100
    assert {17.0, 12_345.0} <= set(kept[:, 2])
    assert kept[:, 0].min() < 10
    assert kept[:, 0].max() > 190


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e6)), min_size=1, max_size=400), st.integers(4, 50))
def test_thinning_never_loses_the_lowest_or_the_highest(points: list[tuple[float, float]], limit: int) -> None:
    rows = np.array([(second, value, number) for number, (second, value) in enumerate(points)])
    kept = thinned(rows, limit)
    assert len(kept) <= limit
    assert kept[:, 1].min() == rows[:, 1].min()
    assert kept[:, 1].max() == rows[:, 1].max()
