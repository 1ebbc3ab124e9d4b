from __future__ import annotations

from types import SimpleNamespace

import pytest

from loopai_lab.bench import arms
from loopai_lab.bench.measure import Arm, Row
from loopai_lab.bench.readings import Reading, compare, medians_by_round, read
from loopai_lab.bench.tables import text_report, times
from loopai_lab.bench.targets import verdicts

LOADED = ["json", "sys"]


async def not_measured() -> list[float]:
    raise AssertionError("nothing is measured here")


def arm(name: str, *beside: tuple[str, ...], role: str = "ours", group: str = "One at a time") -> Arm:
    return Arm(
        name=name,
        group=group,
        role=role,  # type: ignore[arg-type]
        unit="ms",
        clock=f"the clock of {name}",
        measure=not_measured,
        beside=beside,
    )


def rows(name: str, *rounds: list[float]) -> list[Row]:
    return [Row(arm=name, round=n, began_s=float(n), samples=tuple(samples)) for n, samples in enumerate(rounds)]


def measured(*, session: float = 0.5, create: float = 40.0, imported: float = 50.0) -> list[Reading]:
    """Return readings of everything that has a target, three equal rounds each."""
    figures = {arms.PIPE: 0.1, arms.ECHO: 0.15, arms.PYTHON: 12.0}
    figures |= {arms.SESSION_ONE: session, arms.CREATE: create, arms.IMPORT: imported}
    listed = [
        arm(arms.PIPE, role="floor"),
        arm(arms.ECHO, role="floor"),
        arm(arms.SESSION_ONE, arms.FLOORS),
        arm(arms.CREATE, (arms.PYTHON,), group="Making a session"),
        arm(arms.PYTHON, role="floor", group="Importing"),
        arm(arms.IMPORT, (arms.PYTHON,), group="Importing"),
    ]
    return read(listed, [row for name, value in figures.items() for row in rows(name, *[[value]] * 3)])


def test_ratios_are_taken_round_by_round_against_the_sum_of_the_floors() -> None:
    medians = medians_by_round(
        [*rows("A", [2.0], [8.0], [30.0]), *rows("F", [1.0], [1.0], [5.0]), *rows("G", [1.0], [1.0], [5.0])]
    )
    found = compare(medians, "A", ("F", "G"))
    assert found is not None
    assert (found.ratio, found.low, found.high, found.pairs) == (3.0, 1.0, 4.0, 3)
    assert (found.value, found.difference) == (2.0, 6.0)


def test_a_round_in_which_one_side_failed_makes_no_pair() -> None:
    failed = Row(arm="F", round=1, began_s=0.0, error="gone")
    medians = medians_by_round([*rows("A", [2.0], [9.0]), *rows("F", [1.0]), failed])
    found = compare(medians, "A", ("F",))
    assert found is not None
    assert (found.ratio, found.pairs) == (2.0, 1)
    assert compare(medians, "A", ("never",)) is None


def test_targets_that_are_met_are_said_to_be_met() -> None:
    assert [verdict.met for verdict in verdicts(measured(), LOADED)] == [True, True, True, True]


@pytest.mark.parametrize(
    ("place", "readings", "loaded", "words"),
    [
        (0, measured(session=0.8), LOADED, "3.20 times"),
        (1, measured(create=61.0), LOADED, "61.0 ms"),
        (2, measured(imported=213.0), LOADED, "201.0 ms"),
        (3, measured(), [*LOADED, "pandas"], "pandas loaded"),
    ],
)
def test_a_target_that_is_missed_is_said_plainly(
    place: int, readings: list[Reading], loaded: list[str], words: str
) -> None:
    found = verdicts(readings, loaded)
    assert [verdict.met for verdict in found] == [number != place for number in range(4)]
    assert words in found[place].measured
    text = text_report(readings, found, {}, heading="bench")
    assert text.count("NOT MET") == 1


def test_a_target_whose_arm_failed_is_neither_met_nor_missed() -> None:
    readings = [
        Reading(arm=each.arm, summary=None, error="OSError: gone") if each.arm.name == arms.CREATE else each
        for each in measured()
    ]
    found = verdicts(readings, LOADED)[1]
    assert found.met is None
    assert "OSError: gone" in found.measured


def test_the_table_names_floors_clocks_and_ratios_beside_every_figure() -> None:
    readings = measured()
    text = text_report(readings, verdicts(readings, LOADED), {"sandbox": "bubblewrap"}, heading="bench")
    assert f"2.00 x {arms.PIPE} + {arms.ECHO} (0.250 ms); 2.00 to 2.00 in 3 pairs" in text
    assert all(f"clock: the clock of {reading.arm.name}" in text for reading in readings)
    assert "sandbox:      bubblewrap" in text


def test_a_failed_arm_stands_in_the_table_with_its_reason() -> None:
    text = text_report([Reading(arm=arm("A"), summary=None, error="OSError: gone")], [], {}, heading="bench")
    assert "failed" in text
    assert "FAILED: OSError: gone" in text


def test_percentiles_of_a_handful_of_samples_are_left_out() -> None:
    [reading] = read([arm("A")], rows("A", [1.0, 2.0, 3.0]))
    text = text_report([reading], [], {}, heading="bench")
    assert "2.00         1.00 to 3.00         -         -      3" in text


@pytest.mark.parametrize(("ratio", "text"), [(120.4, "120"), (12.3, "12.3"), (0.5, "0.50"), (0.02, "1/50")])
def test_a_small_ratio_reads_as_a_fraction(ratio: float, text: str) -> None:
    assert times(ratio) == text


def test_every_arm_is_compared_only_with_arms_that_are_there() -> None:
    closed = SimpleNamespace(ours=None, process_pool=None)  # nothing of the rig is used before measuring
    listed = arms.all_arms(closed, arms.QUICK)  # type: ignore[arg-type]
    names = [each.name for each in listed]
    assert len(set(names)) == len(names)
    assert {name for each in listed for others in each.beside for name in others} <= set(names)
    assert all(each.clock for each in listed)
    assert all(each.beside for each in listed if each.role == "ours")
