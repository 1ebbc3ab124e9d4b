"""A bad wire between the client and a server that runs on its own: only what it carried is affected, and said to be."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import loopai_lab as ll
from tests.faults.proxy import Proxy

pytestmark = [pytest.mark.integration]
ECHO = ll.Program(code="result = input_data")


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """The address of a server of its own, as the command line starts it."""
    command = (sys.executable, "-m", "loopai_lab.cli", "server", "--port", "0", "--no-token", "--sandbox", "plain")
    server = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    yield (await server.stdout.readline()).decode().split()[-1]
    server.terminate()
    await server.communicate()


async def count_sessions(address: str) -> int:
    async with ll.connect(address) as beaker:
        listed = await (await beaker.connection()).call("session.list")
    count: int = listed["count"]
    return count


@pytest.mark.parametrize("way", ["splits", "delays", "stalls", "cuts"])
async def test_a_wire_that_stalls_splits_or_cuts_costs_only_what_it_carried(
    way: str, address: str, tmp_path: Path
) -> None:
    log = tmp_path / "runs"
    code = f"with open({str(log)!r}, 'a') as log:\n    print(input_data['n'], file=log)\nresult = input_data"
    async with Proxy(address) as proxy:
        proxy.splits, proxy.delays = way == "splits", way == "delays"
        async with ll.connect(proxy.url) as beaker, ll.SessionPool(beaker, max_size=4) as pool:
            run = await ll.BatchExecutor(pool).start(
                ll.Program(code=code), [{"n": n, "text": "한국어 😀" * 50} for n in range(60)], max_concurrency=4
            )
            while run.progress.done < 15:
                await asyncio.sleep(0.005)
            if way == "stalls":
                proxy.stall()
                asyncio.get_running_loop().call_later(0.3, proxy.go_on)
            elif way == "cuts":
                proxy.cut()
            result = await run
    ended = Counter(item.status for item in result.items)
    assert ended["success"] + ended["lost"] == 60
    assert ended["lost"] <= (4 if way == "cuts" else 0)
    assert all(item.output["n"] == item.index for item in result.items if item.success)
    assert max(Counter(log.read_text().split()).values()) == 1
    assert await count_sessions(address) == 0


async def test_every_session_dead_at_once_costs_no_item(address: str) -> None:
    async with Proxy(address) as proxy, ll.connect(proxy.url) as beaker, ll.SessionPool(beaker, max_size=4) as pool:
        await pool.warm("python", 4)
        connection = await beaker.connection()
        proxy.cut()
        while connection.is_open:
            await asyncio.sleep(0)
        result = await ll.BatchExecutor(pool).execute_batch(ECHO, range(20), max_concurrency=4)
        assert result.success_count == 20
        assert pool.statistics().closed_broken == 4
    assert await count_sessions(address) == 0


async def test_a_server_that_does_not_answer_any_more_ends_items_at_their_own_time(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loopai_lab.rpc.drivers.ANSWER_GRACE_S", 0.1)
    async with Proxy(address) as proxy, ll.connect(proxy.url) as beaker, ll.SessionPool(beaker, max_size=1) as pool:
        await pool.warm("python", 1)
        proxy.stall()
        result = await ll.BatchExecutor(pool).execute_batch(ECHO, [1], timeout_ms=200)
        proxy.go_on()
        assert [item.status for item in result.items] == ["timeout"]
        after = await ll.BatchExecutor(pool).execute_batch(ECHO, [2])
        assert after.items[0].output == 2
