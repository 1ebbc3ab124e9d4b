"""However it ends, nothing is left: no process, no socket, no folder. Found by a random mark in their environment."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from loopai_lab.rpc.embedded import EmbeddedServer
from tests.support.processes import MARK, left_after, marked, new_mark, until

pytestmark = pytest.mark.integration

CLIENT = """
import asyncio, os, sys
from loopai_lab.models import Program
from loopai_lab.rpc.beaker import connect

BUSY = "import os, subprocess; subprocess.Popen(['sleep', '99'], start_new_session=True)\\nwhile True: pass"

async def main():
    async with connect(sandbox=sys.argv[1]) as beaker:
        sessions = [await beaker.create_session("python") for _ in range(3)]
        tasks = [asyncio.create_task(one.run(Program(code=BUSY), "null")) for one in sessions[:2]]
        tasks.append(asyncio.create_task(sessions[2].run(Program(code=BUSY), "null", isolation="session")))
        print(beaker.server_pid, flush=True)
        outcomes = await asyncio.gather(*tasks)
        print(*(outcome.status for outcome in outcomes), flush=True)
        print(sys.stdin.read(), flush=True)

asyncio.run(main())
"""


@dataclass
class Client:
    """A process of its own that has three items running."""

    process: asyncio.subprocess.Process
    server_pid: int
    mark: str
    temporary: Path

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().strip()

    def leaves_nothing(self) -> None:
        assert left_after(self.mark) == []
        assert left_in(self.temporary) == []


def left_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


@asynccontextmanager
async def running(sandbox: str, temporary: Path, *, stdin: int = asyncio.subprocess.PIPE) -> AsyncGenerator[Client]:
    mark = new_mark()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLIENT, sandbox),
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {MARK: mark, "TMPDIR": str(temporary)},
    )
    client = Client(process, 0, mark, temporary)
    try:
        client.server_pid = int(await client.line())
        # A sleeper of each of the three items: all is under way.
        await until(lambda: _sleepers(mark) == 3, within_s=20, what="the items")
        yield client
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)


def _sleepers(mark: str) -> int:
    return sum(_command(pid).startswith(b"sleep") for pid in marked(mark))


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def temporary() -> Iterator[Path]:
    # A socket's path has at most 108 bytes: a folder of the system's own, not of pytest's.
    with tempfile.TemporaryDirectory(prefix="end-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_the_end_of_the_client_is_the_end_of_everything(
    sandbox: str, temporary: Path, number: signal.Signals
) -> None:
    async with running(sandbox, temporary) as client:
        client.process.send_signal(number)
        await client.process.wait()
        client.leaves_nothing()


async def test_a_killed_server_takes_its_sessions_with_it_and_the_client_sees_lost_items(
    sandbox: str, temporary: Path
) -> None:
    async with running(sandbox, temporary) as client:
        os.kill(client.server_pid, signal.SIGKILL)
        assert await client.line() == "lost lost lost"
        await until(lambda: marked(client.mark) == [client.process.pid], within_s=2, what="the end of the sessions")
        assert client.process.stdin is not None
        client.process.stdin.close()
        await client.process.wait()
        client.leaves_nothing()


async def test_a_server_that_is_told_to_stop_ends_its_sessions_first(sandbox: str, temporary: Path) -> None:
    async with running(sandbox, temporary) as client:
        os.kill(client.server_pid, signal.SIGTERM)
        assert await client.line() == "lost lost lost"
        await until(lambda: marked(client.mark) == [client.process.pid], within_s=5, what="the end of the server")
        assert left_in(temporary) == []


async def test_the_death_of_client_and_server_at_once_leaves_no_process_and_the_next_start_sweeps_the_folder(
    sandbox: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(sandbox, temporary) as client:
        os.kill(client.server_pid, signal.SIGSTOP)  # so that it cannot clear up between the two
        client.process.kill()
        os.kill(client.server_pid, signal.SIGKILL)
        await client.process.wait()
        assert left_after(client.mark) == []
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    server = await EmbeddedServer.start(sandbox="plain")
    assert len(left_in(temporary)) == 1
    await server.close()
    assert left_in(temporary) == []


async def test_a_server_ends_when_its_stdin_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loopai_lab.server", "--child", "--folder", str(folder), "--sandbox", "plain"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert b'"ready"' in await process.stdout.readline()
    process.stdin.close()
    async with asyncio.timeout(5):
        assert await process.wait() == 0
    assert not folder.exists()


async def test_a_server_on_a_port_that_is_taken_says_so(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "loopai_lab.server", "--folder", str(tmp_path), "--port", str(port)),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
    assert process.returncode == 1
    assert b'"failed": "ServerUnavailable"' in said
    assert str(port).encode() in said
