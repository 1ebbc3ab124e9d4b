"""Limits: what an item may use, and what it reads when it wanted more."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from loopai_lab.errors import RemoteError
from loopai_lab.models import Program
from loopai_lab.rpc.beaker import Beaker
from loopai_lab.rpc.drivers import Outcome
from loopai_lab.rpc.remote import RemoteSession

Run = Callable[..., Awaitable[Outcome]]
pytestmark = pytest.mark.integration
OUTPUT_LIMIT = 1 << 17


@pytest.fixture
async def small(beaker: Beaker) -> AsyncIterator[RemoteSession]:
    """A session with little memory, so that using it up is soon done."""
    shared = await beaker.connection()
    made = await shared.call("session.create", json.dumps({"language": "python", "memoryLimitMB": 128}))
    session = RemoteSession(made["sessionId"], "python", shared, own_connection=False)
    yield session
    await session.close()


async def go(session: RemoteSession, code: str) -> Outcome:
    return await session.run(Program(code=code), "null", timeout_ms=20_000)


async def test_a_memory_bomb_is_an_error_that_names_the_limit(small: RemoteSession) -> None:
    outcome = await go(small, "x = []\nwhile True: x.append('x' * 1_000_000)")
    assert outcome.error_type == "MemoryError"
    assert "memory limit of a process is 128 MB" in str(outcome.error_message)
    assert (await go(small, "result = 1")).output == 1


async def test_recursion_without_a_limit_harms_its_own_item_only(small: RemoteSession) -> None:
    outcome = await go(small, "import sys; sys.setrecursionlimit(10**9)\ndef f(x): return [f(x)]\nresult = f(1)")
    assert outcome.status == "error"
    assert len(str(outcome.error_message)) < 100_000


async def test_a_result_that_does_not_fit_into_memory_as_json_is_an_error(small: RemoteSession) -> None:
    outcome = await go(small, "result = [0] * 6_000_000 + ['x' * 30_000_000]")
    assert outcome.status == "error"


async def test_asking_for_more_memory_than_the_server_gives_yields_what_it_gives(beaker: Beaker) -> None:
    shared = await beaker.connection()
    made = await shared.call("session.create", json.dumps({"language": "python", "memoryLimitMB": 1_000_000}))
    session = RemoteSession(made["sessionId"], "python", shared, own_connection=False)
    outcome = await go(session, "import resource\nresult = resource.getrlimit(resource.RLIMIT_AS)[0] >> 20")
    assert outcome.output == 512
    await session.close()


@pytest.mark.parametrize("memory", [1, 16, 24, 32])
async def test_too_little_memory_to_run_anything_is_an_error_and_no_hang(beaker: Beaker, memory: int) -> None:
    shared = await beaker.connection()
    made = await shared.call("session.create", json.dumps({"language": "python", "memoryLimitMB": memory}))
    session = RemoteSession(made["sessionId"], "python", shared, own_connection=False)
    assert (await go(session, "result = 1")).status in {"error", "success"}
    await session.close()


@pytest.mark.parametrize("memory", [0, -1, "much", True])
async def test_a_memory_limit_that_is_none_is_refused(beaker: Beaker, memory: object) -> None:
    shared = await beaker.connection()
    with pytest.raises(RemoteError, match="memoryLimitMB must be a positive number"):
        await shared.call("session.create", json.dumps({"language": "python", "memoryLimitMB": memory}))


async def test_a_file_over_the_limit_is_an_error_that_names_it(run: Run) -> None:
    outcome = await run("import os\nos.truncate(os.open('big', os.O_CREAT | os.O_WRONLY), 300 << 20)")
    assert outcome.error_type == "OSError"
    assert "file size limit of a file is 256 MB" in str(outcome.error_message)


async def test_open_files_without_end_are_an_error_that_names_the_limit(run: Run) -> None:
    outcome = await run("kept = []\nwhile True: kept.append(open('/dev/null'))")
    assert "limit of open files is 256" in str(outcome.error_message)
    assert (await run("result = 1")).output == 1


@pytest.mark.parametrize("more", [-1, 0, 1])
async def test_output_is_kept_whole_up_to_its_limit(run: Run, more: int) -> None:
    outcome = await run(f"import sys; sys.stdout.write('x' * {OUTPUT_LIMIT + more}); result = 1")
    assert outcome.output == 1
    assert outcome.truncated == (more > 0)
    assert outcome.stdout.count("x") == OUTPUT_LIMIT + min(more, 0)


async def test_a_line_of_ten_megabytes_keeps_its_two_ends(run: Run) -> None:
    outcome = await run("print('begin' + 'x' * 10_000_000 + 'end'); result = 1")
    assert outcome.output == 1
    assert outcome.truncated
    assert outcome.stdout.startswith("begin")
    assert outcome.stdout.endswith("end\n")


async def test_a_flood_is_drained_until_the_time_limit(run: Run) -> None:
    outcome = await run("import sys\nwhile True: print('flood' * 1000); print('err', file=sys.stderr)", timeout_ms=500)
    assert outcome.status == "timeout"
    assert outcome.truncated
    assert len(outcome.stdout) < 2 * OUTPUT_LIMIT


async def test_stdout_and_stderr_are_kept_apart_and_are_not_the_answer(run: Run) -> None:
    outcome = await run("import os, sys\nprint('out')\nos.write(2, b'err')\nos.system('echo shell')\nresult = 1")
    assert (outcome.output, outcome.stdout, outcome.stderr) == (1, "out\nshell\n", "err")


async def test_output_that_imitates_our_frames_is_output(run: Run) -> None:
    code = (
        'import os, struct\nhead = b\'{"status": "success", "nonce": ""}\'\n'
        "os.write(1, struct.pack('!II', len(head), 1) + head + b'9')\nresult = 1"
    )
    outcome = await run(code)
    assert outcome.output == 1
    assert "nonce" in outcome.stdout


async def test_a_result_over_its_limit_is_an_error_with_both_figures(run: Run) -> None:
    outcome = await run("result = 'x' * (1 << 26)")
    assert outcome.error_type == "OutputLimit"
    assert "67108866 bytes, the limit is 67108864" in str(outcome.error_message)
