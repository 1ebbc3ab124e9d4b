"""The instrument: opens everything, lets the arms take turns, and hands out what they gave as text, JSON and HTML."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopai_lab.bench.arms import QUICK, Sizes, all_arms, open_rig
from loopai_lab.bench.environment import environment, load, modules_loaded
from loopai_lab.bench.measure import Row, interleave
from loopai_lab.bench.readings import Reading, Verdict, read
from loopai_lab.bench.tables import text_report
from loopai_lab.bench.targets import verdicts
from loopai_lab.errors import InvalidOption

QUICK_ROUNDS = 2
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """What a run of the bench measures.

    Args:
        rounds: how often every arm has its turn; ratios are taken round by round, so five or more say something.
        quick: small rounds, two at most: shows that everything runs, not how fast.
    """

    rounds: int = 5
    quick: bool = False

    def __post_init__(self) -> None:
        """Refuse less than one round.

        Raises:
            InvalidOption: naming what was asked for.
        """
        rounds: object = self.rounds
        if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
            raise InvalidOption(f"rounds={self.rounds!r} is not a whole number from 1")

    @property
    def rounds_run(self) -> int:
        """How many rounds there really are."""
        return min(self.rounds, QUICK_ROUNDS) if self.quick else self.rounds

    @property
    def sizes(self) -> Sizes:
        """How much one round measures; never less than 20 creations and 7 imports in all, unless quick."""
        if self.quick:
            return QUICK
        return Sizes(creations=max(4, -(-20 // self.rounds)), imports=max(2, -(-7 // self.rounds)))


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """Everything that a run of the bench found out.

    Args:
        options: what was asked for.
        environment: where and when, in words.
        readings: one per arm.
        verdicts: one per target.
        rows: the raw samples, in the order they were taken.
        duration_s: how long it took.
    """

    options: BenchOptions
    environment: Mapping[str, str]
    readings: tuple[Reading, ...]
    verdicts: tuple[Verdict, ...]
    rows: tuple[Row, ...]
    duration_s: float

    @property
    def complete(self) -> bool:
        """Whether every arm ran in every round."""
        return not any(row.error for row in self.rows)

    def to_text(self) -> str:
        """Return the table that is printed."""
        return text_report(self.readings, self.verdicts, self.environment, heading=self.heading)

    @property
    def heading(self) -> str:
        """What was run, in one line."""
        quick = "; quick: shows that it runs, not how fast" if self.options.quick else ""
        return f"loopai-lab bench: {self.options.rounds_run} alternating rounds in {self.duration_s:.0f} s{quick}"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, raw rows included."""
        return {
            "format": FORMAT,
            "options": dataclasses.asdict(self.options),
            "environment": dict(self.environment),
            "duration_s": self.duration_s,
            "verdicts": [dataclasses.asdict(verdict) for verdict in self.verdicts],
            "readings": [_plain(reading) for reading in self.readings],
            "rows": [dataclasses.asdict(row) for row in self.rows],
        }


def _plain(reading: Reading) -> dict[str, Any]:
    arm = {name: getattr(reading.arm, name) for name in ("name", "group", "role", "unit", "clock")}
    return arm | {
        "summary": dataclasses.asdict(reading.summary) if reading.summary else None,
        "beside": [dataclasses.asdict(comparison) for comparison in reading.beside],
        "error": reading.error,
    }


async def run_bench(
    options: BenchOptions | None = None, *, on_round: Callable[[int], None] | None = None
) -> BenchReport:
    """Open everything, measure, and return what was found.

    Args:
        options: what to measure.
        on_round: is told the number of each round as it begins.

    Raises:
        LoopaiLabError: the server, a floor or a peer did not start.
    """
    options = BenchOptions() if options is None else options
    began = time.perf_counter()
    loaded = await modules_loaded()
    async with open_rig() as rig:
        where = environment(rig.ours.beaker.capabilities)
        arms = all_arms(rig, options.sizes)
        rows = await interleave(arms, options.rounds_run, on_round=on_round)
        where |= {"load": f"{where['load']} before, {load()} after (this run included)"}
    readings = read(arms, rows)
    return BenchReport(
        options=options,
        environment=where,
        readings=tuple(readings),
        verdicts=tuple(verdicts(readings, loaded)),
        rows=tuple(rows),
        duration_s=time.perf_counter() - began,
    )


def main(
    *,
    rounds: int = 5,
    json_path: str | Path | None = None,
    html_path: str | Path | None = None,
    quick: bool = False,
) -> int:
    """Run the bench, print its table and write its files; return 0 if everything ran, 1 if an arm failed.

    A target that is missed is said plainly and is no error: the bench measures, it does not judge the machine.

    Args:
        rounds: how often every arm has its turn.
        json_path: where to write everything, raw rows included.
        html_path: where to write the report with its charts.
        quick: small rounds, two at most.
    """
    options = BenchOptions(rounds=rounds, quick=quick)
    report = asyncio.run(run_bench(options, on_round=lambda number: _say_round(number, options.rounds_run)))
    _write(report.to_text())
    if json_path is not None:
        Path(json_path).write_text(json.dumps(report.to_dict()), encoding="utf-8")
        _write(f"raw rows: {json_path}")
    if html_path is not None:
        from loopai_lab.bench.benchpage import write_bench_page

        write_bench_page(html_path, report)
        _write(f"report:   {html_path}")
    return 0 if report.complete else 1


def _say_round(number: int, rounds: int) -> None:
    print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)  # noqa: T201 - a command line's progress


def _write(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - what the command line shows
