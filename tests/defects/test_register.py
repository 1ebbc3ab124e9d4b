"""The register of defects is true, and the few defects that no other test is about."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path

import pytest

from loopai_lab.errors import ServerUnavailable
from loopai_lab.execution.executor import BatchExecutor
from loopai_lab.models import Program
from loopai_lab.pool.pool import SessionPool
from loopai_lab.rpc.drivers import Outcome
from tests.support.audit import audited
from tests.support.scripted import ScriptedSource, double
from tests.support.virtual import virtual

PROGRAM = Program(code="result = input_data * 2")


@pytest.mark.parametrize("register", ["tests/defects/README.md", "tests/faults/README.md"])
def test_every_test_that_the_register_names_exists(register: str, repository: Path) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (repository / register).read_text())
    assert named
    missing = [
        f"{file}::{test}"
        for file, test in named
        if f"def {test}(" not in (repository / file).read_text(encoding="utf-8")
    ]
    assert missing == []


def test_every_defect_is_listed_once(repository: Path) -> None:
    rows = re.findall(r"^\| (\d+) \|", (repository / "tests/defects/README.md").read_text(), re.MULTILINE)
    assert [int(row) for row in rows] == list(range(1, 63))


@virtual
async def test_two_callers_at_once_take_two_idle_sessions_at_once() -> None:
    async with audited(ScriptedSource()) as pool:
        await pool.warm("python", 2)
        first, second = await asyncio.gather(pool.acquire("python"), pool.acquire("python"))
        assert first is not second
        assert pool.statistics().requests_queued == 0
        pool.release(first)
        pool.release(second)


@virtual
async def test_a_session_counts_every_use_and_no_other() -> None:
    async with audited(source := ScriptedSource(), max_size=1) as pool:
        await BatchExecutor(pool).execute_batch(PROGRAM, range(7), max_concurrency=3)
        assert pool.statistics().average_execution_count == 7
        assert source.made[0].runs == 7


@virtual
async def test_the_reported_session_is_the_one_that_ran() -> None:
    async with audited(source := ScriptedSource()) as pool:
        result = await BatchExecutor(pool).execute_batch(PROGRAM, range(30), max_concurrency=5)
    assert {(item.session_id, item.index) for item in result.items} == set(source.ran)


@virtual
async def test_a_failed_creation_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with audited(ScriptedSource(failures=[ServerUnavailable("no room"), None])) as pool:
        with caplog.at_level(logging.WARNING, "loopai_lab"):
            async with pool.session("python"):
                pass
    assert "no room" in caplog.text


@virtual
async def test_every_item_has_an_execution_id_however_it_ends() -> None:
    def script(value: int) -> Outcome:
        return Outcome(status="error") if value == 2 else double(value)

    async with SessionPool(ScriptedSource(script=script)) as pool:
        executor = BatchExecutor(pool)
        result = await executor.execute_batch(PROGRAM, range(5), max_concurrency=1, stop_on_first_error=True)
    assert len({item.execution_id for item in result.items}) == 5
    assert all(item.execution_id for item in result.items)
