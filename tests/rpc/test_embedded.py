"""The embedded server's start and end: what it leaves (nothing) and what it says when it cannot start."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from loopai_lab.errors import InvalidOption, ServerUnavailable
from loopai_lab.models import Program
from loopai_lab.rpc import embedded
from loopai_lab.rpc.beaker import connect
from loopai_lab.rpc.embedded import EmbeddedServer
from tests.support.processes import until

pytestmark = pytest.mark.integration


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test's own to find temporary folders in."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def left_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


async def test_the_folder_is_private_and_gone_at_the_end(temporary: Path) -> None:
    server = await EmbeddedServer.start(sandbox="plain")
    folder = Path(server.address).parent
    assert folder.parent == temporary
    assert mode(folder) == 0o700
    assert mode(Path(server.address)) == 0o600
    assert is_alive(server.pid)
    await server.close()
    assert not is_alive(server.pid)
    await server.close()
    assert left_in(temporary) == []


async def test_a_refused_option_is_raised_as_itself_and_leaves_nothing(temporary: Path) -> None:
    with pytest.raises(InvalidOption, match="choose one of auto, bubblewrap, plain"):
        await EmbeddedServer.start(sandbox="castle")
    assert left_in(temporary) == []


async def test_a_server_that_cannot_start_says_what_it_wrote_and_leaves_nothing(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "BOOT", "raise SystemExit('no room at the inn')")
    with pytest.raises(ServerUnavailable, match="no room at the inn"):
        await EmbeddedServer.start()
    assert left_in(temporary) == []


@pytest.mark.parametrize("line", ["hello", "[]", '{"failed": "NoSuchError", "error": "hello"}'])
async def test_a_first_line_that_is_not_the_expected_one_is_shown(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr(embedded, "BOOT", f"print({line!r})")
    with pytest.raises(ServerUnavailable, match=r"hello|\[\]"):
        await EmbeddedServer.start()
    assert left_in(temporary) == []


async def test_a_server_that_says_nothing_is_ended_after_the_time(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "BOOT", "import sys; sys.stdin.read()")
    monkeypatch.setattr(embedded, "START_TIMEOUT_S", 0.2)
    with pytest.raises(ServerUnavailable, match=r"within 0\.2 s: it wrote nothing"):
        await EmbeddedServer.start()
    assert left_in(temporary) == []


async def test_a_start_that_is_cancelled_leaves_nothing(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "BOOT", "import sys; sys.stdin.read()")
    start = asyncio.create_task(EmbeddedServer.start())
    await until(lambda: left_in(temporary))
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert left_in(temporary) == []


async def test_an_interpreter_that_is_not_there_leaves_nothing(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(FileNotFoundError):
        await EmbeddedServer.start()
    assert left_in(temporary) == []


def test_a_folder_that_nobody_owns_any_more_is_swept_and_no_other(temporary: Path) -> None:
    stray, owned, foreign = (temporary / f"loopai-lab-{name}" for name in ("stray", "owned", "foreign"))
    for folder in (stray, owned, foreign):
        (folder / "session").mkdir(parents=True)
    (stray / embedded.OWNER).touch()
    (owned / embedded.OWNER).touch()
    fd = os.open(owned / embedded.OWNER, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    embedded.sweep_strays()
    assert sorted(left_in(temporary)) == ["loopai-lab-foreign", "loopai-lab-owned"]
    os.close(fd)


async def test_servers_that_start_at_once_do_not_sweep_each_other(temporary: Path) -> None:
    servers = await asyncio.gather(*(EmbeddedServer.start(sandbox="plain") for _ in range(4)))
    assert len(left_in(temporary)) == 4
    embedded.sweep_strays()
    assert len(left_in(temporary)) == 4
    await asyncio.gather(*(server.close() for server in servers))
    assert left_in(temporary) == []


async def test_a_server_that_died_is_started_again_for_the_next_session(temporary: Path) -> None:
    async with connect(sandbox="plain") as beaker:
        session = await beaker.create_session("python")
        first = beaker.server_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        outcome = await session.run(Program(code="result = 1"), "null")
        assert (outcome.status, outcome.ended) == ("lost", True)
        assert "not run again" in str(outcome.error_message)
        fresh = await beaker.create_session("python")
        assert (await fresh.run(Program(code="result = 2"), "null")).output == 2
        assert beaker.server_pid not in {None, first}
    assert left_in(temporary) == []
