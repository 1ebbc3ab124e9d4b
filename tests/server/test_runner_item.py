"""One item in a process of its own: its answer, its errors, its end, and that nothing of it stays."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import pytest

from loopai_lab.models import Program
from loopai_lab.rpc.beaker import Beaker
from loopai_lab.rpc.drivers import Outcome
from loopai_lab.rpc.remote import RemoteSession

Run = Callable[..., Awaitable[Outcome]]
pytestmark = pytest.mark.integration


async def test_a_program_reads_its_input_and_leaves_a_result(run: Run) -> None:
    outcome = await run("result = input_data['n'] * 2", {"n": 21})
    assert (outcome.status, outcome.output, outcome.ended) == ("success", 42, False)


async def test_a_main_function_answers_when_no_result_is_assigned(run: Run) -> None:
    assert (await run("def main(data): return data + 1", 1)).output == 2


async def test_a_program_without_a_result_is_told_what_to_do(run: Run) -> None:
    outcome = await run("x = 1")
    assert outcome.error_type == "NoResult"
    assert "assign `result`" in str(outcome.error_message)


async def test_an_exception_shows_the_program_s_own_line_and_no_frame_of_ours(run: Run) -> None:
    outcome = await run("def f(x):\n    return 1 / x\n\nresult = f(0)")
    assert outcome.error_type == "ZeroDivisionError"
    message = str(outcome.error_message)
    assert 'File "program.py", line 2, in f' in message
    assert "return 1 / x" in message
    assert "runners" not in message


async def test_a_program_that_does_not_compile_names_its_line(run: Run) -> None:
    outcome = await run("x = 1\nresult = = 2")
    assert (outcome.status, outcome.error_type) == ("error", "SyntaxError")
    assert "line 2" in str(outcome.error_message)


async def test_an_enormous_line_that_does_not_compile_is_still_an_error_of_its_item(run: Run) -> None:
    outcome = await run("result = = '" + "\N{GRINNING FACE}" * 200_000 + "'")
    assert outcome.error_type == "SyntaxError"


@pytest.mark.parametrize(
    ("code", "exit_words"),
    [
        ("import sys; sys.exit(3)", "exited with code 3"),
        ("import os; os._exit(3)", "exited with code 3"),
        ("raise SystemExit('no such file')", "exited with code 1: no such file"),
        ("exit()", "exited with code 0"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "SIGTERM"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 1)", "signal 35"),
    ],
)
async def test_an_exit_or_a_crash_is_an_error_that_says_how(run: Run, code: str, exit_words: str) -> None:
    outcome = await run(code)
    assert outcome.status == "error"
    assert exit_words in str(outcome.error_message)


async def test_a_crash_shows_the_last_of_stderr(run: Run) -> None:
    outcome = await run("import os, sys; print('the disk is on fire', file=sys.stderr, flush=True); os._exit(9)")
    assert "the disk is on fire" in str(outcome.error_message)
    assert outcome.ended


async def test_a_process_that_forked_before_it_exited_has_ended_all_the_same(run: Run) -> None:
    code = "import os, time\nif os.fork():\n    os._exit(5)\ntime.sleep(60)\nresult = 1"
    outcome = await run(code)
    assert "exited with code 5" in str(outcome.error_message)


async def test_only_the_program_answers_and_not_the_copy_that_it_forked(run: Run) -> None:
    code = "import os\npid = os.fork()\nresult = 'copy' if pid == 0 else (os.waitpid(pid, 0)[1], 'original')"
    assert (await run(code)).output == [0, "original"]
    assert (await run("result = 2")).output == 2


async def test_a_forked_copy_that_fails_reports_its_exit_code_to_its_parent(run: Run) -> None:
    code = (
        "import os\npid = os.fork()\nif pid == 0:\n    raise ValueError('in the copy')\n"
        "result = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"
    )
    outcome = await run(code)
    assert outcome.output == 1
    assert "in the copy" in outcome.stderr


async def test_endless_recursion_is_an_error(run: Run) -> None:
    assert (await run("def f(): return f()\nresult = f()")).error_type == "RecursionError"


async def test_standard_input_is_at_its_end(run: Run) -> None:
    outcome = await run("import sys\nresult = sys.stdin.read()\ninput()")
    assert outcome.error_type == "EOFError"


async def test_a_program_s_children_can_be_terminated(run: Run) -> None:
    code = (
        "import subprocess, sys\np = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "p.terminate()\nresult = p.wait(20)"
    )
    assert (await run(code)).output == -15


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("result = b'raw'", "builtins.bytes is not JSON"),
        ("result = {1, 2}", "builtins.set is not JSON"),
        ("result = []; result.append(result)", "Circular"),
        ("class Bad:\n    def tolist(self): raise RuntimeError('no list')\nresult = Bad()", "no list"),
        ("x = None\nfor _ in range(100_000): x = [x]\nresult = x", "cannot be sent"),
    ],
)
async def test_a_result_that_is_no_json_is_refused_by_name(run: Run, code: str, words: str) -> None:
    outcome = await run(code)
    assert outcome.status == "error"
    assert words in str(outcome.error_message)


async def test_a_result_nested_near_the_limit_comes_back_or_fails_but_never_hangs(run: Run) -> None:
    for depth in (900, 970, 985, 990):
        outcome = await run(f"x = 0\nfor _ in range({depth}): x = [x]\nresult = x")
        assert outcome.status in {"success", "error", "lost"}


async def test_nan_and_infinity_survive(run: Run) -> None:
    output = (await run("result = [input_data, float('inf')]", math.nan)).output
    assert math.isnan(output[0])
    assert output[1] == math.inf


@pytest.mark.parametrize("sign", ["", "-"])
async def test_an_integer_of_five_thousand_digits_survives(run: Run, sign: str) -> None:
    assert (await run(f"result = {sign}(10**5000 + 7)")).output == int(f"{sign}1") * (10**5000 + 7)


async def test_lone_surrogates_and_emoji_survive(run: Run) -> None:
    text = "\ud800 \N{GRINNING FACE} \x00 \u2028"
    assert (await run("result = input_data", text)).output == text


async def test_numpy_values_come_back_as_numbers(run: Run) -> None:
    code = "import numpy as np\nresult = {'mean': np.float64(1.5), 'all': np.arange(3)}"
    assert (await run(code)).output == {"mean": 1.5, "all": [0, 1, 2]}


async def test_a_long_error_message_keeps_its_begin_and_its_end(run: Run) -> None:
    message = str((await run("raise ValueError('a' * 10_000_000 + 'the end')")).error_message)
    assert len(message) < 40_000
    assert message.startswith("Traceback")
    assert message.endswith("the end")


async def test_an_exception_whose_text_cannot_be_made_is_named_all_the_same(run: Run) -> None:
    outcome = await run("class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E")
    assert outcome.error_type == "E"


async def test_a_timeout_ends_the_item_and_its_session_but_not_the_server(
    run: Run, beaker: Beaker, session: RemoteSession
) -> None:
    outcome = await run("print('begun', flush=True)\nwhile True: pass", timeout_ms=200)
    assert (outcome.status, outcome.ended, outcome.stdout) == ("timeout", True, "begun\n")
    assert "200 ms" in str(outcome.error_message)
    fresh = await beaker.create_session("python")
    assert (await fresh.run(Program(code="result = 1"), "null")).output == 1
    await fresh.close()
    assert fresh.id != session.id


async def test_a_deadline_of_centuries_is_no_problem(run: Run) -> None:
    assert (await run("result = 1", timeout_ms=1e14)).output == 1


async def test_sixty_programs_in_turn_each_get_their_own_answer(run: Run) -> None:
    for round_ in range(2):
        for number in range(0, 70, 1 if round_ == 0 else 7):
            assert (await run(f"result = {number}")).output == number


async def test_a_megabyte_goes_in_and_comes_out(run: Run) -> None:
    text = "x" * (1 << 20)
    assert (await run("result = input_data + '!'", text)).output == text + "!"
