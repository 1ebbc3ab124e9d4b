"""What the raw rows say: one reading per arm, beside its floors and peers, and whether the targets are met.

Ratios are taken round by round, from figures measured seconds apart, and then the median of them: a machine that slows
down for a while slows both down. Everything here is computed from rows, so a stored run can be read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loopai_lab.bench.measure import Arm, Row, Summary, summarise
from loopai_lab.models import percentile


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One arm beside another, or beside the sum of several.

    Args:
        names: of the others.
        value: the median of what they gave; summed.
        ratio: ours divided by theirs, the median over the rounds.
        low: the smallest of these ratios.
        high: the largest.
        difference: ours less theirs, the median over the rounds.
        pairs: in how many rounds both were measured.
    """

    names: tuple[str, ...]
    value: float
    ratio: float
    low: float
    high: float
    difference: float
    pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one arm gave.

    Args:
        arm: which.
        summary: of all its samples; None if it failed.
        beside: its comparisons; those whose other side failed are left out.
        error: why it failed, in any round.
    """

    arm: Arm
    summary: Summary | None
    beside: tuple[Comparison, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A target, what was measured, and whether that meets it.

    Args:
        target: in words.
        measured: in words, with its figure.
        met: None if it could not be measured.
    """

    target: str
    measured: str
    met: bool | None


def read(arms: Sequence[Arm], rows: Sequence[Row]) -> list[Reading]:
    """Return one reading per arm, in the order of the arms."""
    medians = medians_by_round(rows)
    return [_reading(arm, [row for row in rows if row.arm == arm.name], medians) for arm in arms]


def _reading(arm: Arm, rows: Sequence[Row], medians: Mapping[str, Mapping[int, float]]) -> Reading:
    samples = [sample for row in rows for sample in row.samples]
    error = next((row.error for row in rows if row.error), None)
    compared = [compare(medians, arm.name, others) for others in arm.beside]
    return Reading(
        arm=arm,
        summary=summarise(samples) if samples else None,
        beside=tuple(comparison for comparison in compared if comparison is not None),
        error=error,
    )


def medians_by_round(rows: Sequence[Row]) -> dict[str, dict[int, float]]:
    """Return the median of every arm in every round in which it was measured."""
    medians: dict[str, dict[int, float]] = {}
    for row in rows:
        if row.samples:
            medians.setdefault(row.arm, {})[row.round] = percentile(row.samples, 0.5)
    return medians


def compare(medians: Mapping[str, Mapping[int, float]], name: str, others: tuple[str, ...]) -> Comparison | None:
    """Return one arm beside the sum of others, round by round; None if they share no round."""
    mine = medians.get(name, {})
    theirs = [medians.get(other, {}) for other in others]
    pairs = [
        (mine[number], sum(other[number] for other in theirs))
        for number in mine
        if all(number in other for other in theirs)
    ]
    if not pairs:
        return None
    ratios = [ours / beside for ours, beside in pairs]
    return Comparison(
        names=others,
        value=percentile([beside for _, beside in pairs], 0.5),
        ratio=percentile(ratios, 0.5),
        low=min(ratios),
        high=max(ratios),
        difference=percentile([ours - beside for ours, beside in pairs], 0.5),
        pairs=len(pairs),
    )
