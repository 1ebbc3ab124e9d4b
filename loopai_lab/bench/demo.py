"""The demo: a real batch on real input, cold, warm and with a process per item, every answer checked."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loopai_lab.bench.report import RunView, run_sections, write_report
from loopai_lab.lab import Lab
from loopai_lab.tasks import find_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loopai_lab.models import BatchItem, BatchResult, Program
    from loopai_lab.pool.events import PoolEvent

TASK = "source-metrics"
BASE = "process per item"


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to run the batch, and what came of it.

    Args:
        name: for the table.
        result: the batch.
        events: what happened in the pool meanwhile.
        sessions_made: how many sessions (or processes) it took.
        unequal: the items whose answer differs from the direct one.
    """

    name: str
    result: BatchResult
    events: list[PoolEvent]
    sessions_made: int
    unequal: list[str]

    @property
    def sessions_reused(self) -> int:
        """How many items ran in a session that had run one before."""
        return sum(item.reused for item in self.result.items)


def run_demo(*, report: Path | None, concurrency: int | None = None, say: Callable[[str], None] = print) -> int:
    """Run the demo and return the exit code: 0 when every answer equals the direct one.

    Args:
        report: where to write the HTML report; None writes none.
        concurrency: how many items at once; two per core if left out, because the work is computing, not waiting.
        say: is given the text to show.
    """
    task = find_task(TASK)
    items, program = task.items(), task.program()
    at_once = concurrency or min(100, 2 * (os.cpu_count() or 1))
    say(f"{TASK}: {len(items)} modules of this Python's standard library, {at_once} at a time")
    say("direct: the same program in this very process, for the answers to compare with …")
    expected = direct_answers(program, items)
    arms: list[Arm] = []
    with Lab(max_size=at_once) as lab:
        for name in ("pool, cold", "pool, warm"):
            arms.append(_run(lab, name, program, items, at_once, expected, say))
            if arms[-1].result.cancelled_count:
                return _stopped(arms, say)
        sandbox = lab.statistics().sandbox
    with Lab(provider="standard", max_size=at_once) as lab:
        arms.append(_run(lab, BASE, program, items, at_once, expected, say))
    if arms[-1].result.cancelled_count:
        return _stopped(arms, say)
    say("")
    say(table(arms))
    say("")
    say(f"sandbox: {sandbox} for the sessions, none for the process per item; every item starts from pristine state")
    for line in _verdict(arms):
        say(line)
    if report is not None:
        _write_report(report, arms)
        say(f"report: {report}")
    return 1 if any(arm.unequal for arm in arms) else 0


def direct_answers(program: Program, items: list[BatchItem]) -> dict[str, Any]:
    """Return what the program answers to each item in this very process; an exception's type name where it raises."""
    code = compile(program.code, "program.py", "exec", dont_inherit=True)
    answers: dict[str, Any] = {}
    for item in items:
        namespace: dict[str, Any] = {"__name__": "__main__", "input_data": item.input}
        try:
            exec(code, namespace)  # noqa: S102 - the bundled program: comparing with it is what the demo is for
            answers[item.id] = json.loads(json.dumps(namespace["main"](item.input)))
        except Exception as error:  # noqa: BLE001 - a module that does not parse is an answer too
            answers[item.id] = type(error).__name__
    return answers


def _run(
    lab: Lab,
    name: str,
    program: Program,
    items: list[BatchItem],
    at_once: int,
    expected: dict[str, Any],
    say: Callable[[str], None],
) -> Arm:
    say(f"{name} …")
    result = lab.run(program, items, max_concurrency=at_once)
    run = lab.runs[-1]
    made = sum(event.kind == "created" for event in run.events())
    return Arm(name, result, run.events(), made, _unequal(result, expected))


def _unequal(result: BatchResult, expected: dict[str, Any]) -> list[str]:
    """Return the items that ended otherwise than directly; what did not run cannot be compared."""
    ran = (item for item in result.items if item.status not in {"cancelled", "skipped"})
    return [
        item.item_id for item in ran if (item.output if item.success else item.error_type) != expected[item.item_id]
    ]


def table(arms: list[Arm]) -> str:
    """Return the comparison as text; ratios are to the process per item, once it has run to its end."""
    finished = [arm.result for arm in arms if arm.name == BASE and not arm.result.cancelled_count]
    base = finished[0] if finished else None
    header = ("", "items", "ok", "failed", "wall s", "items/s", "p50 ms", "p95 ms", "p99 ms", "made", "reused", "speed")
    rows = [header, *(_row(arm, base) for arm in arms)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([lines[0], "─" * len(lines[0]), *lines[1:]])


def _row(arm: Arm, base: BatchResult | None) -> tuple[str, ...]:
    result = arm.result
    return (
        arm.name,
        str(result.total_items),
        str(result.success_count),
        str(result.failure_count),
        f"{result.total_duration_ms / 1000:.2f}",
        f"{result.throughput:.0f}",
        f"{result.p50_ms:.1f}",
        f"{result.p95_ms:.1f}",
        f"{result.p99_ms:.1f}",
        str(arm.sessions_made),
        str(arm.sessions_reused),
        f"{result.throughput / base.throughput:.2f}x" if base and base.throughput else "-",
    )


def _verdict(arms: list[Arm]) -> list[str]:
    lines = []
    for arm in arms:
        ran = arm.result.total_items - arm.result.cancelled_count
        if arm.unequal:
            lines.append(f"{arm.name}: {len(arm.unequal)} of {ran} answers DIFFER, first {arm.unequal[0]}")
        else:
            lines.append(f"{arm.name}: all {ran} answers equal the direct ones")
    failed = [item for item in arms[0].result.items if not item.success]
    lines += [f"failed: {item.item_id}: {(item.error_message or '').splitlines()[-1]}" for item in failed[:5]]
    return lines


def _stopped(arms: list[Arm], say: Callable[[str], None]) -> int:
    say("")
    say(table(arms))
    say("stopped: what had finished is kept and shown; no process is left")
    return 130


def _write_report(path: Path, arms: list[Arm]) -> None:
    views = [RunView(arm.name, arm.result, arm.events) for arm in arms]
    where = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.platform()}"
    write_report(path, f"{TASK}: what the pool buys", run_sections(views), subtitle=where)
