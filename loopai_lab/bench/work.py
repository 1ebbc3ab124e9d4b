"""The work that every arm does: the trivial program, its inputs and its answers.

A program that does next to nothing shows what is around it: transport, books, isolation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from loopai_lab.bench.child import ArmFailed
from loopai_lab.models import Program

CODE = "result = input_data['n'] * 2"
PROGRAM = Program(code=CODE, name="trivial")


def inputs(count: int) -> list[dict[str, int]]:
    """Return the inputs of one measurement."""
    return [{"n": number} for number in range(count)]


def check_answers(answers: Iterable[Any], *, count: int) -> None:
    """Refuse answers that are not the program's: an arm that fails fast must not look fast.

    Raises:
        ArmFailed: naming the first wrong one, or how many are missing.
    """
    given = list(answers)
    if len(given) != count:
        raise ArmFailed(f"{len(given)} answers came for {count} inputs")
    for number, answer in enumerate(given):
        if answer != number * 2:
            raise ArmFailed(f"the answer to n={number} is {answer!r}, not {number * 2}")
