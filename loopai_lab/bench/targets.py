"""The targets that the package has set itself, and the verdict on each from what was measured.

A target is words and a limit; whether it is met comes from the readings alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from loopai_lab.bench import arms
from loopai_lab.bench.readings import Comparison, Reading, Verdict

FLOORS_RATIO = 3.0
CREATE_MS = 60.0
IMPORT_MS = 200.0
HEAVY = ("plotly", "pandas")


def verdicts(readings: Sequence[Reading], loaded: Sequence[str]) -> list[Verdict]:
    """Return the verdict on every target.

    Args:
        readings: of all arms.
        loaded: the modules that `import loopai_lab` and its `Lab` load in a fresh interpreter.
    """
    by_name = {reading.arm.name: reading for reading in readings}
    return [
        _latency(by_name[arms.SESSION_ONE]),
        _creation(by_name[arms.CREATE]),
        _import(by_name[arms.IMPORT]),
        _light(loaded),
    ]


def _latency(reading: Reading) -> Verdict:
    target = f"session kept, one at a time: p50 at most {FLOORS_RATIO:g} times the sum of the floors"
    beside = _beside(reading, arms.FLOORS)
    if reading.summary is None or beside is None:
        return _unmeasured(target, reading)
    measured = (
        f"{beside.ratio:.2f} times ({reading.summary.p50:.3f} ms beside {beside.value:.3f} ms; "
        f"{beside.low:.2f} to {beside.high:.2f} in {beside.pairs} pairs)"
    )
    return Verdict(target=target, measured=measured, met=beside.ratio <= FLOORS_RATIO)


def _creation(reading: Reading) -> Verdict:
    target = f"create a session: p50 under {CREATE_MS:g} ms"
    if (summary := reading.summary) is None:
        return _unmeasured(target, reading)
    measured = f"{summary.p50:.1f} ms ({summary.low:.1f} to {summary.high:.1f}, n={summary.n})"
    return Verdict(target=target, measured=measured, met=summary.p50 < CREATE_MS)


def _import(reading: Reading) -> Verdict:
    target = f"import loopai_lab: under {IMPORT_MS:g} ms more than a bare interpreter"
    beside = _beside(reading, (arms.PYTHON,))
    if reading.summary is None or beside is None:
        return _unmeasured(target, reading)
    measured = (
        f"{beside.difference:.1f} ms ({reading.summary.p50:.1f} ms with the import, {beside.value:.1f} ms without, "
        f"n={reading.summary.n})"
    )
    return Verdict(target=target, measured=measured, met=beside.difference < IMPORT_MS)


def _light(loaded: Sequence[str]) -> Verdict:
    heavy = [name for name in HEAVY if name in loaded]
    measured = f"{' and '.join(heavy)} loaded" if heavy else f"neither is among the {len(loaded)} modules loaded"
    return Verdict(
        target=f"import loopai_lab, Lab included: no {', no '.join(HEAVY)}", measured=measured, met=not heavy
    )


def _beside(reading: Reading, names: tuple[str, ...]) -> Comparison | None:
    return next((comparison for comparison in reading.beside if comparison.names == names), None)


def _unmeasured(target: str, reading: Reading) -> Verdict:
    return Verdict(target=target, measured=f"not measured: {reading.error or 'its floor failed'}", met=None)
