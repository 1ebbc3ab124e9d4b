"""The items of the teaching tasks: small, made on the spot, the same every time."""

from __future__ import annotations

from loopai_lab.models import BatchItem


def sleep_items() -> list[BatchItem]:
    """Return 50 items that each sleep 100 ms."""
    return [BatchItem(id=f"sleep-{number}", input={"seconds": 0.1, "value": number}) for number in range(50)]


def fail_every_fifth_items() -> list[BatchItem]:
    """Return 50 items of which every fifth fails."""
    return [BatchItem(id=f"item-{number}", input={"value": number}) for number in range(50)]
