"""The pool under chance: no session has two owners, nobody starves, nothing leaks, the books balance.

A failure names its seed; `python -m pytest tests/pool/test_schedules.py --schedule-seed SEED` runs that schedule alone.
`make soak` runs 100,000.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.pool_model import DISCARDS, LANGUAGES, PoolModel, run_schedule


def test_random_schedules_break_no_rule(request: pytest.FixtureRequest) -> None:
    one = request.config.getoption("--schedule-seed")
    seeds = range(request.config.getoption("--schedules")) if one is None else [one]
    for seed in seeds:
        try:
            run_schedule(seed)
        except Exception as error:
            error.add_note(f"schedule seed {seed}; again with --schedule-seed {seed}")
            raise


class PoolMachine(RuleBasedStateMachine):
    model: PoolModel

    @initialize(max_size=st.integers(1, 3), max_uses=st.sampled_from([None, 2]), max_waiting=st.sampled_from([None, 2]))
    def open(self, max_size: int, max_uses: int | None, max_waiting: int | None) -> None:
        self.model = PoolModel(
            max_size=max_size, max_uses=max_uses, max_waiting=max_waiting, max_idle_s=10.0, check_after_s=1.0
        )

    @rule(
        language=st.sampled_from(LANGUAGES),
        priority=st.integers(0, 1),
        timeout_s=st.sampled_from([None, 0.0, 0.02, 1.0]),
    )
    def acquire(self, language: str, priority: int, timeout_s: float | None) -> None:
        self.model.acquire(language, priority, timeout_s)

    @rule(which=st.integers(0, 9), discard=st.sampled_from(DISCARDS))
    def release(self, which: int, discard: str | None) -> None:
        self.model.release(which, discard)

    @rule(which=st.integers(0, 9))
    def cancel(self, which: int) -> None:
        self.model.cancel(which)

    @rule(times=st.integers(1, 3))
    def turn(self, times: int) -> None:
        self.model.turn(times)

    @rule(seconds=st.sampled_from([0.003, 0.05, 2.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.model.wait(seconds)

    @rule(count=st.integers(1, 3))
    def fail_creations(self, count: int) -> None:
        self.model.fail_creations(count)

    @rule(create_s=st.sampled_from([0.0, 0.04, 10.0]))
    def slow_down(self, create_s: float) -> None:
        self.model.slow_down(create_s)

    @rule()
    def lose_sessions(self) -> None:
        self.model.lose_sessions()

    @rule(size=st.integers(1, 4))
    def resize(self, size: int) -> None:
        self.model.resize(size)

    @rule()
    def drain(self) -> None:
        self.model.drain()

    @invariant()
    def every_rule_holds(self) -> None:
        if hasattr(self, "model"):
            self.model.check()

    def teardown(self) -> None:
        if hasattr(self, "model"):
            self.model.finish()


PoolMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestPoolMachine = PoolMachine.TestCase
