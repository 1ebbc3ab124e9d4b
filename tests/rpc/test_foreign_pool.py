"""Pool, executor and command line with a server that is not ours: parallel, without leftovers, and by URL alone."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loopai_lab.execution.executor import BatchExecutor
from loopai_lab.models import Program
from loopai_lab.pool.pool import SessionPool
from loopai_lab.rpc.beaker import connect
from loopai_lab.rpc.foreign_sessions import ForeignOptions
from tests.fakes.codebeaker import FakeCodeBeaker
from tests.fakes.runtimes import RUNTIMES
from tests.support.processes import until

pytestmark = pytest.mark.integration
DOUBLE = Program(code="result = input_data * 2")
NODE = ForeignOptions(runtimes={"javascript": "NodeJs"})
needs_node = pytest.mark.skipif(not RUNTIMES["NodeJs"].is_here(), reason="node is not on PATH")


async def test_ten_items_at_once_run_side_by_side_on_ten_sessions(tmp_path: Path) -> None:
    meeting = Program(
        code=(
            "import os, time\n"
            "open(os.path.join(input_data['folder'], str(input_data['n'])), 'w').close()\n"
            "while len(os.listdir(input_data['folder'])) < 10:\n"
            "    time.sleep(0.01)\n"
            "result = input_data['n']\n"
        )
    )
    items = [{"folder": str(tmp_path), "n": number} for number in range(10)]
    async with (
        FakeCodeBeaker("Python") as fake,
        connect(fake.url) as beaker,
        SessionPool(beaker, max_size=10) as pool,
    ):
        result = await BatchExecutor(pool).execute_batch(meeting, items, max_concurrency=10, timeout_ms=60_000)
        assert [item.output for item in result.items] == list(range(10)), "each waits for the nine others"
        assert fake.most_in_flight == 10
        assert len({item.session_id for item in result.items}) == 10
        assert len(fake.sessions_ever) == 10
    assert not fake.sessions


async def test_a_second_batch_makes_no_session_and_items_never_hold_two() -> None:
    async with (
        FakeCodeBeaker("Python") as fake,
        connect(fake.url) as beaker,
        SessionPool(beaker, max_size=3) as pool,
    ):
        executor = BatchExecutor(pool)
        for _ in range(2):
            result = await executor.execute_batch(DOUBLE, range(12), max_concurrency=3)
            assert [item.output for item in result.items] == [2 * number for number in range(12)]
            assert {item.session_id for item in result.items} <= {session.id for session in fake.sessions_ever}
        assert len(fake.sessions_ever) <= 3
        assert fake.most_in_flight <= 3
        assert len(fake.received("session.execute")) == 24
    assert not fake.sessions


@needs_node
async def test_an_idle_session_of_another_language_makes_room() -> None:
    async with (
        FakeCodeBeaker("Python", "NodeJs") as fake,
        connect(fake.url, foreign=NODE) as beaker,
        SessionPool(beaker, max_size=1, acquire_timeout_s=60) as pool,
    ):
        async with pool.session("python") as session:
            assert (await session.run(DOUBLE, "21")).output == 42
        program = Program(language="javascript", code="const result = input_data * 2")
        async with pool.session("javascript") as session:
            assert (await session.run(program, "21")).output == 42
        assert [session.runtime for session in fake.sessions_ever] == ["Python", "NodeJs"]
        assert len(fake.sessions) == 1
    assert not fake.sessions


async def test_a_session_swept_away_between_items_is_replaced_without_a_failure() -> None:
    async with (
        FakeCodeBeaker("Python") as fake,
        connect(fake.url) as beaker,
        SessionPool(beaker, max_size=1) as pool,
    ):
        executor = BatchExecutor(pool)
        (first,) = (await executor.execute_batch(DOUBLE, [1])).items
        await fake.sweep()
        (second,) = (await executor.execute_batch(DOUBLE, [2])).items
        assert (first.output, second.output, second.attempts) == (2, 4, 2)
        assert second.session_id != first.session_id


async def test_a_busy_session_swept_away_loses_its_item_and_no_other(tmp_path: Path) -> None:
    program = Program(
        code="import time\nif input_data:\n    open(input_data, 'w').close()\n    time.sleep(600)\nresult = 1"
    )
    begun = tmp_path / "begun"
    async with (
        FakeCodeBeaker("Python") as fake,
        connect(fake.url) as beaker,
        SessionPool(beaker, max_size=1) as pool,
    ):
        run = await BatchExecutor(pool).start(program, [str(begun), "", ""], max_concurrency=1)
        await until(begun.exists, within_s=30)
        await fake.sweep()
        result = await run
        assert [item.status for item in result.items] == ["lost", "success", "success"]
        assert len(fake.received("session.execute")) == 3, "nothing was replayed"


async def test_an_item_past_its_time_costs_its_session_and_leaves_none() -> None:
    program = Program(code="import time\ntime.sleep(input_data)\nresult = 'slept'")
    async with (
        FakeCodeBeaker("Python") as fake,
        connect(fake.url) as beaker,
        SessionPool(beaker, max_size=1) as pool,
    ):
        result = await BatchExecutor(pool).execute_batch(program, [600, 0], max_concurrency=1, timeout_ms=500)
        assert [item.status for item in result.items] == ["timeout", "success"]
        assert pool.statistics().closed_timeout == 1
        assert len(fake.sessions_ever) == 2
    assert not fake.sessions


async def test_a_cancelled_batch_leaves_no_session(tmp_path: Path) -> None:
    program = Program(code="import time\nopen(input_data, 'w').close()\ntime.sleep(600)")
    begun = [tmp_path / str(number) for number in range(2)]
    async with FakeCodeBeaker("Python") as fake, connect(fake.url) as beaker:
        async with SessionPool(beaker, max_size=2) as pool:
            run = await BatchExecutor(pool).start(program, [str(path) for path in begun], max_concurrency=2)
            await until(lambda: all(path.exists() for path in begun), within_s=30)
            run.cancel()
            result = await run
            assert [item.status for item in result.items] == ["cancelled"] * 2
        assert not fake.sessions


async def test_a_pool_survives_a_server_that_starts_again() -> None:
    async with (
        FakeCodeBeaker("Python") as fake,
        connect(fake.url) as beaker,
        SessionPool(beaker, max_size=2) as pool,
    ):
        executor = BatchExecutor(pool)
        await executor.execute_batch(DOUBLE, range(4), max_concurrency=2)
        await fake.restart()
        statuses = [item.status for item in (await executor.execute_batch(DOUBLE, range(6), max_concurrency=2)).items]
        assert set(statuses) <= {"success", "lost"}
        result = await executor.execute_batch(DOUBLE, range(6), max_concurrency=2)
        assert [item.output for item in result.items] == [2 * number for number in range(6)]
    assert not fake.sessions


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("double.py", "print('printed')\nresult = input_data['n'] * 2\n"),
        pytest.param("double.js", "console.log('printed');\nresult = input_data.n * 2;\n", marks=needs_node),
    ],
)
async def test_the_command_line_runs_on_a_foreign_server_by_its_url_alone(name: str, code: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(code)
    (tmp_path / "items.jsonl").write_text('{"n": 1}\n{"id": "mine", "input": {"n": 2}}\n')
    async with FakeCodeBeaker("Python", "NodeJs") as fake:
        arguments = (
            "run",
            str(tmp_path / name),
            "--url",
            fake.url,
            "--inputs",
            str(tmp_path / "items.jsonl"),
            "--json",
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "loopai_lab.cli", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.startswith("LOOPAI_LAB_")},
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        document = json.loads(out)
        assert [(item["item_id"], item["output"], item["stdout"]) for item in document["items"]] == [
            ("0", 2, "printed\n"),
            ("mine", 4, "printed\n"),
        ]
        assert not fake.sessions
