"""The bench as text: every figure beside its floor or peer, with the ratio, and under it what its clock includes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from loopai_lab.bench.measure import Summary, figure

if TYPE_CHECKING:
    from loopai_lab.bench.readings import Comparison, Reading, Verdict

NAME_WIDTH = 34
COLUMNS = f"{'':8}{'':{NAME_WIDTH}}{'p50':>10}  {'95 % of p50':>19}{'p95':>10}{'p99':>10}{'n':>7}"
ENOUGH = {"p95": 20, "p99": 100}
"""Below these numbers of samples the percentile is but the largest sample: it is left out."""


def text_report(
    readings: Sequence[Reading], verdicts: Sequence[Verdict], environment: Mapping[str, str], *, heading: str
) -> str:
    """Return the whole table."""
    lines = [heading, "", *(f"{name + ':':14}{value}" for name, value in environment.items())]
    for group, members in groupby(readings, key=lambda reading: reading.arm.group):
        lines += ["", *_group_lines(group, list(members))]
    lines += ["", "Targets", *(_verdict_line(verdict) for verdict in verdicts)]
    return "\n".join(lines)


def _group_lines(group: str, members: Sequence[Reading]) -> Iterator[str]:
    unit = members[0].arm.unit
    yield f"{group}, {unit}"
    yield COLUMNS
    for reading in members:
        yield _figures_line(reading)
        yield f"{'':10}clock: {reading.arm.clock}"
        if reading.error:
            yield f"{'':10}FAILED: {reading.error}"
        for comparison in reading.beside:
            yield f"{'':10}{comparison_text(comparison, unit)}"


def _figures_line(reading: Reading) -> str:
    name = f"{reading.arm.role:8}{reading.arm.name:{NAME_WIDTH}}"
    if (summary := reading.summary) is None:
        return f"{name}{'failed':>10}"
    interval = f"{figure(summary.low)} to {figure(summary.high)}"
    p95, p99 = ("-" if value is None else figure(value) for value in tails(summary))
    return f"{name}{figure(summary.p50):>10}  {interval:>19}{p95:>10}{p99:>10}{summary.n:>7}"


def tails(summary: Summary) -> tuple[float | None, float | None]:
    """Return p95 and p99, each only if there are enough samples for it to mean something."""
    return (
        summary.p95 if summary.n >= ENOUGH["p95"] else None,
        summary.p99 if summary.n >= ENOUGH["p99"] else None,
    )


def comparison_text(comparison: Comparison, unit: str) -> str:
    """Return a comparison in words: how many times the other, its figure, and the range over the rounds."""
    others = " + ".join(comparison.names)
    pairs = f"{comparison.pairs} pair{'s' if comparison.pairs > 1 else ''}"
    return (
        f"{times(comparison.ratio)} x {others} ({figure(comparison.value)} {unit}); "
        f"{times(comparison.low)} to {times(comparison.high)} in {pairs}"
    )


def _verdict_line(verdict: Verdict) -> str:
    return f"  {verdict_word(verdict):14}{verdict.target}: {verdict.measured}"


def verdict_word(verdict: Verdict) -> str:
    """Return the verdict in a word or two."""
    return {True: "met", False: "NOT MET", None: "not measured"}[verdict.met]


def times(ratio: float) -> str:
    """Return a ratio with the digits that it deserves; a small one as a fraction, which is read more easily."""
    if ratio >= 100:  # noqa: PLR2004 - whole numbers from here on
        return f"{ratio:,.0f}"
    if ratio >= 0.2:  # noqa: PLR2004 - fractions below
        return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"  # noqa: PLR2004
    return f"1/{1 / ratio:,.{0 if ratio < 0.1 else 1}f}"  # noqa: PLR2004
