"""The bench as a page: the verdicts first, then every group with its table and chart, then where it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from loopai_lab.bench.charts import Chart, latency_ecdf, rates
from loopai_lab.bench.measure import figure
from loopai_lab.bench.page import Mark, Noted, Section, Table, Tone
from loopai_lab.bench.report import write_report
from loopai_lab.bench.tables import comparison_text, tails, verdict_word

if TYPE_CHECKING:
    from loopai_lab.bench.instrument import BenchReport
    from loopai_lab.bench.readings import Reading, Verdict

TONES: dict[bool | None, Tone] = {True: "good", False: "bad", None: "plain"}


def write_bench_page(path: str | Path, report: BenchReport) -> Path:
    """Write the HTML report of a run of the bench."""
    groups = groupby(report.readings, key=lambda reading: reading.arm.group)
    sections = [
        _verdicts(report.verdicts),
        *(_group(name, list(members), report) for name, members in groups),
        _environment(report),
    ]
    where = report.environment
    subtitle = f"{report.heading}. {where['date']}, {where['python']}, {where['processor']}, sandbox {where['sandbox']}"
    return write_report(path, "How fast is loopai_lab here?", sections, subtitle=subtitle)


def _verdicts(verdicts: Sequence[Verdict]) -> Section:
    rows = [(Mark(verdict_word(each), TONES[each.met]), each.target, each.measured) for each in verdicts]
    return Section(heading="Targets", tables=[Table(columns=("", "target", "measured"), rows=rows)])


def _group(name: str, members: Sequence[Reading], report: BenchReport) -> Section:
    unit = members[0].arm.unit
    columns = ("", "what", f"p50, {unit}", "95 % of p50", "p95", "p99", "n", "beside")
    table = Table(columns=columns, rows=[_row(reading) for reading in members])
    return Section(heading=name, tables=[table], figures=_figures(name, members, report))


def _row(reading: Reading) -> tuple[object, ...]:
    arm, summary = reading.arm, reading.summary
    beside = tuple(comparison_text(comparison, arm.unit) for comparison in reading.beside)
    role, what = Mark(arm.role, "good" if arm.role == "ours" else "plain"), Noted(arm.name, arm.clock)
    if summary is None:
        return role, what, None, None, None, None, None, reading.error
    interval = f"{figure(summary.low)}\u00a0to\u00a0{figure(summary.high)}"
    return role, what, summary.p50, interval, *tails(summary), summary.n, beside


def _figures(name: str, members: Sequence[Reading], report: BenchReport) -> list[Chart]:
    measured = [(each.arm.name, each.summary.p50) for each in members if each.summary is not None]
    if not measured:
        return []
    if members[0].arm.unit == "items/s":
        ours = [each.arm.name for each in members if each.arm.role == "ours"]
        return [rates(measured, title=f"{name}, items/s", ours=ours)]
    if members[0].arm.unit == "ms":
        samples = {each.arm.name: _samples(each.arm.name, report) for each in members}
        return [latency_ecdf(list(samples.items()), title=f"{name}: share of samples at most …")]
    return []


def _samples(name: str, report: BenchReport) -> list[float]:
    return [sample for row in report.rows if row.arm == name for sample in row.samples]


def _environment(report: BenchReport) -> Section:
    text = "Arms take turns in every round; ratios are taken round by round, and their median and range are shown."
    table = Table(columns=("", ""), rows=list(report.environment.items()))
    return Section(heading="Where this was measured", text=text, tables=[table])
