"""A session that keeps its state, as a notebook kernel does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from loopai_lab.rpc.drivers import Outcome

Run = Callable[..., Awaitable[Outcome]]
pytestmark = pytest.mark.integration


@pytest.fixture
def keep(run: Run) -> Run:
    return partial(run, isolation="session")


async def test_what_one_item_defines_the_next_one_finds(keep: Run) -> None:
    await keep("count = 1; result = None")
    assert (await keep("count += 1; result = count")).output == 2
    assert (await keep("count += 1; result = count")).output == 3


async def test_a_result_is_never_the_one_of_an_earlier_item(keep: Run) -> None:
    await keep("result = 'old'")
    assert (await keep("pass")).error_type == "NoResult"
    await keep("def main(data): return 'old'")
    assert (await keep("pass")).error_type == "NoResult"


async def test_the_input_is_always_the_item_s_own(keep: Run) -> None:
    await keep("result = input_data; input_data.append(9)", [1])
    assert (await keep("result = input_data", [2])).output == [2]


async def test_an_exception_leaves_the_state_in_place(keep: Run) -> None:
    await keep("x = 5; result = 0")
    assert (await keep("x = 6; raise ValueError")).error_type == "ValueError"
    assert (await keep("result = x")).output == 6


async def test_an_exit_is_an_error_and_the_session_lives_on(keep: Run) -> None:
    await keep("x = 1; result = 0")
    outcome = await keep("import sys; sys.exit(3)")
    assert "code 3" in str(outcome.error_message)
    assert not outcome.ended
    assert (await keep("result = x")).output == 1


async def test_a_crash_ends_the_session_with_its_exit_code(keep: Run) -> None:
    outcome = await keep("import os; os._exit(4)")
    assert outcome.ended
    assert "exited with code 4" in str(outcome.error_message)


async def test_a_crash_by_signal_is_named(keep: Run) -> None:
    outcome = await keep("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert "SIGKILL" in str(outcome.error_message)
    assert "memory" in str(outcome.error_message)


async def test_a_closed_channel_is_an_error_and_no_hang(keep: Run) -> None:
    outcome = await keep("import os, time; os.closerange(3, 4096); time.sleep(60)", timeout_ms=20_000)
    assert outcome.status == "error"
    assert outcome.ended


async def test_a_forked_copy_does_not_steal_the_next_input(keep: Run) -> None:
    code = "import os\npid = os.fork()\nresult = 'copy' if pid == 0 else 'original'"
    for _ in range(5):
        assert (await keep(code)).output == "original"


async def test_output_that_comes_after_the_answer_belongs_to_nobody(keep: Run) -> None:
    code = (
        "import threading, os\nfirst, printed = threading.Event(), threading.Event()\n"
        "def late():\n    first.wait()\n    os.write(1, b'late')\n    printed.set()\n"
        "threading.Thread(target=late, daemon=True).start()\nresult = 1"
    )
    await keep(code)
    # The thread prints while nothing runs: the timer fires after this item has answered.
    await keep("threading.Timer(0.05, first.set).start()\nresult = 1")
    after = await keep("printed.wait(); result = 2")
    again = await keep("result = 3")
    assert "late" not in again.stdout
    assert after.output == 2


async def test_a_timeout_ends_the_session(keep: Run) -> None:
    outcome = await keep("import time; time.sleep(60)", timeout_ms=200)
    assert (outcome.status, outcome.ended) == ("timeout", True)


async def test_both_isolation_levels_live_side_by_side(run: Run, keep: Run) -> None:
    await keep("x = 1; result = 0")
    assert (await run("result = 'x' in globals()")).output is False
    assert (await keep("result = x")).output == 1


async def test_many_programs_share_one_state(keep: Run) -> None:
    for number in range(20):
        await keep(f"x = {number}; result = 0")
    assert (await keep("result = x")).output == 19
