"""The program contract on a server that is not ours: every runtime gives the same answers to the same programs.

The server is the fake of `tests/fakes`, which runs the programs for real; a runtime whose tool is missing is skipped,
and Bun, which no package brings, is looked at only where somebody has put it.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from loopai_lab.models import Program
from loopai_lab.rpc.beaker import connect
from loopai_lab.rpc.drivers import Outcome
from loopai_lab.rpc.foreign_sessions import ForeignOptions
from loopai_lab.rpc.remote import RemoteSession
from tests.fakes.codebeaker import FakeCodeBeaker
from tests.fakes.runtimes import RUNTIMES

pytestmark = pytest.mark.integration


def here(runtime: str, language: str) -> Any:
    missing = not RUNTIMES[runtime].is_here()
    return pytest.param(
        runtime,
        language,
        id=f"{language}-{runtime}",
        marks=pytest.mark.skipif(missing, reason=f"{RUNTIMES[runtime].tool} is not on PATH"),
    )


PYTHON = [here("Python", "python"), here("Docker", "python")]
NODE = [here("NodeJs", "javascript"), here("Docker", "javascript")]
MODULES = ["Deno", *(["Bun"] if RUNTIMES["Bun"].is_here() else [])]
SCRIPT = [*NODE, *(here(runtime, "javascript") for runtime in MODULES)]
on_python = pytest.mark.parametrize(("runtime", "language"), PYTHON)
on_node = pytest.mark.parametrize(("runtime", "language"), NODE)
on_script = pytest.mark.parametrize(("runtime", "language"), SCRIPT)
on_all = pytest.mark.parametrize(("runtime", "language"), [*PYTHON, *SCRIPT])


@asynccontextmanager
async def session_on(runtime: str, language: str, **options: Any) -> AsyncIterator[RemoteSession]:
    chosen = ForeignOptions(runtimes={language: runtime})
    async with FakeCodeBeaker(runtime, **options) as fake, connect(fake.url, foreign=chosen) as beaker:
        if runtime in {"Docker", "NodeJs"} and language == "javascript" and not RUNTIMES["NodeJs"].is_here():
            pytest.skip("node is not on PATH")
        session = await beaker.create_session(language)
        yield session
        await session.close()
        assert not fake.sessions


async def run(
    runtime: str, language: str, code: str, value: Any = None, *, input_json: str = "", **options: Any
) -> Outcome:
    async with session_on(runtime, language) as session:
        program = Program(language=language, code=code)
        return await session.run(program, input_json or json.dumps(value), **options)


# -- what a program may look like -------------------------------------------------------------------------------------


@on_python
@pytest.mark.parametrize(
    "code",
    [
        "result = input_data['n'] * 2",
        "def main(input_data):\n    return input_data['n'] * 2",
        "    n = input_data['n']\n    result = n * 2\n",
        "from __future__ import annotations\ndef twice(n: Unknown) -> Unknown:\n    return n * 2\nresult = twice(21)",
        "json = sys = os = f = _ = io = time = code = token = answer = run = encoded = 0\nresult = 42",
        "import sys\nsys.stdout = sys.stderr = None\nresult = 42",
        "import sys\nsys.stdout.close()\nresult = 42",
        "import os\nos.close(1)\nresult = 42",
        "import json\njson.dumps = json.loads = None\nresult = 42",
        "import __main__\nanswer = 42\nresult = __main__.answer",
        "# ohne Rückgabe: 한국어 😀\nresult = 42",
        "if __name__ == '__main__':\n    result = 42",
    ],
    ids=[
        "assigned",
        "main",
        "indented",
        "future",
        "our names",
        "no streams",
        "closed stream",
        "closed fd",
        "patched json",
        "own main module",
        "not ASCII",
        "as a script",
    ],
)
async def test_a_python_program_is_taken_as_it_is(runtime: str, language: str, code: str) -> None:
    outcome = await run(runtime, language, code, {"n": 21})
    assert (outcome.status, outcome.output, outcome.ended) == ("success", 42, False), outcome.error_message


@on_script
@pytest.mark.parametrize(
    "code",
    [
        "result = input_data.n * 2",
        "const result = input_data.n * 2;",
        "let result; result = input_data.n * 2 // no newline at the end",
        "function main(input_data) { return input_data.n * 2 }",
        "const main = async (value) => value.n * 2;",
        "const result = Promise.resolve(input_data.n * 2);",
        "const code = 1, token = 2, answer = 3, record = 4, worker = 5, url = 6;\nresult = 42",
        "JSON.stringify = JSON.parse = null;\nresult = 42",
        "// 한국어 😀\nresult = 42",
    ],
    ids=["undeclared", "const", "let", "main", "async main", "promise", "our names", "patched json", "not ASCII"],
)
async def test_a_javascript_program_is_taken_as_it_is(runtime: str, language: str, code: str) -> None:
    outcome = await run(runtime, language, code, {"n": 21})
    assert (outcome.status, outcome.output, outcome.ended) == ("success", 42, False), outcome.error_message


@on_node
@pytest.mark.parametrize(
    "code",
    [
        "const path = require('path');\nresult = path.basename('/a/42')",
        "helper = '42';\nresult = helper;\nreturn;",
        "result = module.exports === exports && this === exports ? '42' : 'no'",
        "const fs = require('fs');\nfs.writeFileSync('x', '42');\nresult = `${fs.readFileSync('x')}`",
    ],
    ids=["require", "sloppy and returning", "module", "files"],
)
async def test_node_runs_plain_commonjs(runtime: str, language: str, code: str) -> None:
    outcome = await run(runtime, language, code)
    assert (outcome.status, outcome.output) == ("success", "42"), outcome.error_message


@pytest.mark.parametrize(("runtime", "language"), [here(runtime, "typescript") for runtime in MODULES])
async def test_typescript_keeps_its_types(runtime: str, language: str) -> None:
    code = (
        "interface Item { n: number }\nconst twice = (item: Item): number => item.n * 2;\nresult = twice(input_data);"
    )
    assert (await run(runtime, language, code, {"n": 21})).output == 42


# -- what goes in and comes out ---------------------------------------------------------------------------------------

VALUES = {
    "nested": {"a": [1, 2.5, None, True, {"b": []}], "": {"__proto__": 1, "constructor": 2}},
    "quotes": "'\"`\\ ${x} \n \r \t \0 </script> %s {0}",
    "separators": "\u2028\u2029\x85\x1e",
    "lone surrogate": ["\ud800", "\udc00x", "a\udfffb"],
    "emoji": "😀" * 3000,
    "misplaced words": ["NaN", "-Infinity", "\\", '\\"NaN', "loopai-0"],
    "large": "x" * 300_000,
    "larger": ["y" * 1000] * 2500,
}


@on_all
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
async def test_a_value_goes_in_and_comes_out_as_it_was(runtime: str, language: str, value: Any) -> None:
    outcome = await run(runtime, language, "result = input_data", value)
    assert outcome.error_message is None
    assert outcome.output == value


@on_all
async def test_numbers_that_are_none_go_in_and_come_out(runtime: str, language: str) -> None:
    code = "result = [input_data, -input_data[1]]"
    outcome = await run(runtime, language, code, [math.nan, math.inf, -math.inf, "NaN"])
    assert outcome.error_message is None
    (first, second, third, word), negative = outcome.output
    assert math.isnan(first)
    assert (second, third, word, negative) == (math.inf, -math.inf, "NaN", -math.inf)


@on_python
async def test_an_integer_of_5000_digits_keeps_every_digit(runtime: str, language: str) -> None:
    digits = "7" * 5000
    outcome = await run(runtime, language, "result = [input_data, -input_data]", input_json=digits)
    assert outcome.error_message is None
    large, negative = outcome.output
    assert large == -negative == 7 * (10**5000 - 1) // 9


@on_node
async def test_a_bigint_of_5000_digits_keeps_every_digit(runtime: str, language: str) -> None:
    outcome = await run(runtime, language, "result = { large: 10n ** 5000n - 1n }")
    assert outcome.output == {"large": 10**5000 - 1}


@pytest.mark.parametrize("shift", range(4))
@on_all
async def test_characters_survive_at_the_4096_byte_edge(runtime: str, language: str, shift: int) -> None:
    text = "x" * shift + "한😀" * 2000
    code = f"text = {text!r}\nprint(text)\nresult = [text, input_data]"
    if language == "javascript":
        code = f"const text = {text!r};\nconsole.log(text);\nresult = [text, input_data]"
    outcome = await run(runtime, language, code, text)
    assert outcome.output == [text, text]
    assert outcome.stdout == f"{text}\n"


# -- what it prints ---------------------------------------------------------------------------------------------------


@on_python
async def test_what_is_printed_stays_apart_from_the_answer(runtime: str, language: str) -> None:
    code = (
        "import atexit, os, subprocess, sys\n"
        "print('  before\\r\\n ', end='')\n"
        'print(\'<loopai-0123456789abcdef0123456789abcdefa>{"status":"success","output":0}</loopai>\')\n'
        "os.write(1, b'raw ')\n"
        "subprocess.run(['echo', 'child'])\n"
        "print('err', file=sys.stderr)\n"
        "result = 42\n"
        "print('after  ')\n"
    )
    outcome = await run(runtime, language, code)
    assert outcome.output == 42
    assert outcome.stdout.startswith("  before\r\n <loopai-0123")
    assert outcome.stdout.endswith("</loopai>\nraw child\nafter  \n")
    assert outcome.stderr == "err\n"


@on_node
async def test_what_node_prints_stays_apart_from_the_answer(runtime: str, language: str) -> None:
    code = (
        "console.log('  before');\n"
        "process.stdout.write(Buffer.from('한').subarray(0, 2)); process.stdout.write(Buffer.from('한').subarray(2));\n"
        "process.stdout.write('<loopai-0123a>{\"status\":\"success\"}</loopai>', () => console.error('err'));\n"
        "const main = async () => { await new Promise((go) => setTimeout(go, 10)); console.log('after'); return 42; }"
    )
    outcome = await run(runtime, language, code)
    assert outcome.output == 42
    assert outcome.stdout == '  before\n한<loopai-0123a>{"status":"success"}</loopai>after\n'
    assert outcome.stderr == "err\n"


@on_python
async def test_more_printing_than_is_kept_is_cut_and_said_to_be(runtime: str, language: str) -> None:
    outcome = await run(runtime, language, "print('x' * 1_000_000)\nresult = 42")
    assert (outcome.output, outcome.truncated) == (42, True)
    assert 100_000 < len(outcome.stdout) < 1_000_000


# -- how it fails -----------------------------------------------------------------------------------------------------


@on_python
async def test_a_python_error_shows_the_programs_own_lines_and_no_others(runtime: str, language: str) -> None:
    outcome = await run(
        runtime, language, "def half(n):\n    return 1 / n\n\nprint('here')\nresult = half(input_data)", 0
    )
    message = outcome.error_message or ""
    assert (outcome.status, outcome.error_type, outcome.stdout) == ("error", "ZeroDivisionError", "here\n")
    assert 'File "program.py", line 2, in half' in message
    assert 'File "program.py", line 5, in <module>' in message
    assert "return 1 / n" in message
    assert message.count("File ") == 2
    assert message.endswith("ZeroDivisionError: division by zero")


@on_script
async def test_a_javascript_error_shows_the_programs_own_lines_and_no_others(runtime: str, language: str) -> None:
    code = "const half = (n) => {\n  throw new TypeError(`not ${n}`);\n};\nresult = half(input_data);"
    outcome = await run(runtime, language, code, 0)
    message = outcome.error_message or ""
    assert (outcome.status, outcome.error_type) == ("error", "TypeError")
    assert message.startswith("TypeError: not 0")
    assert "program.js:2:9" in message
    assert "program.js:4:10" in message
    assert "wrappers" not in message
    assert message.count("    at ") == 2


@on_all
async def test_a_syntax_error_is_named_with_its_line(runtime: str, language: str) -> None:
    outcome = await run(runtime, language, "a = 1\nb = = 2")
    assert (outcome.status, outcome.error_type) == ("error", "SyntaxError")
    assert "2" in (outcome.error_message or "")


@on_all
async def test_a_program_without_a_result_is_told_so(runtime: str, language: str) -> None:
    outcome = await run(runtime, language, "x = 1" if language == "python" else "const x = 1")
    assert (outcome.status, outcome.error_type) == ("error", "NoResult")
    assert "assign `result`, or define `main(input_data)`" in (outcome.error_message or "")


@on_python
async def test_the_answer_of_an_earlier_item_is_never_given_again(runtime: str, language: str) -> None:
    program = Program(code="import os\nif input_data:\n    os._exit(0)\nresult = 'mine'\nopen('left', 'w').close()")
    leftovers = Program(code="import os\nresult = os.listdir()")
    async with session_on(runtime, language) as session:
        assert (await session.run(program, "0")).output == "mine"
        early = await session.run(program, "1")
        assert (early.status, early.output) == ("error", None)
        assert early.error_message == "the process exited with code 0"
        assert (await session.run(leftovers, "0")).output == []


@on_python
@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        ("import sys\nsys.exit(3)", "SystemExit", "the program exited with code 3"),
        ("import sys\nsys.exit()", "SystemExit", "the program exited with code 0"),
        ("raise SystemExit('enough')", "SystemExit", "the program exited with code 1: enough"),
        ("import os\nos._exit(5)", "ProcessDied", "the process exited with code 5"),
        ("import os\nos.kill(os.getpid(), 9)", "ProcessDied", "the program was killed by signal 9"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", "KeyboardInterrupt"),
        ("result = {1}", "TypeError", "the result cannot be sent as JSON: a builtins.set is not JSON"),
        ("result = result_of = []\nresult.append(result)", "ValueError", "Circular reference"),
    ],
)
async def test_how_a_python_program_ends_is_told(runtime: str, language: str, code: str, kind: str, says: str) -> None:
    async with session_on(runtime, language) as session:
        outcome = await session.run(Program(code=code), "0")
        assert (outcome.status, outcome.error_type, outcome.ended) == ("error", kind, False)
        assert says in (outcome.error_message or "")
        assert (await session.run(Program(code="result = 1"), "0")).output == 1


@on_node
@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        ("process.exit(3)", "SystemExit", "the program exited with code 3"),
        ("throw 'a string'", "string", "the program threw a string"),
        ("const main = async () => { throw new RangeError('late') }", "RangeError", "RangeError: late"),
        ("setTimeout(() => { throw new RangeError('later') }); result = new Promise(() => {})", "RangeError", "later"),
        ("result = new Promise(() => {})", "NoResult", "produced no result"),
        ("result = () => 1", "TypeError", "a function is not JSON"),
        ("result = {}; result.self = result", "TypeError", "the result cannot be sent as JSON: Converting circular"),
    ],
)
async def test_how_a_node_program_ends_is_told(runtime: str, language: str, code: str, kind: str, says: str) -> None:
    outcome = await run(runtime, language, code)
    assert (outcome.status, outcome.error_type) == ("error", kind)
    assert says in (outcome.error_message or "")


async def test_an_exit_code_that_docker_calls_success_is_a_failure() -> None:
    async with session_on("Docker", "python", env={"PYTHONHOME": "/nowhere"}) as session:
        outcome = await session.run(Program(code="result = 1"), "0")
    assert (outcome.status, outcome.error_type, outcome.ended) == ("error", "ProcessDied", True)
    assert "the process exited with code 1" in (outcome.error_message or "")
    assert "PYTHONHOME" in (outcome.error_message or "")


# -- how its time is kept ---------------------------------------------------------------------------------------------


@on_python
@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time\ntime.sleep(600)",
        "import signal, time\nfor n in (14, 15):\n    signal.signal(n, signal.SIG_IGN)\ntime.sleep(600)",
        "import re\nre.match('(a+)+$', 'a' * 60 + 'b')",
        "try:\n    while True: pass\nexcept BaseException:\n    while True: pass",
        "import subprocess\nsubprocess.run(['sleep', '600'])",
    ],
    ids=["spin", "sleep", "deaf", "in C", "catches all", "child"],
)
async def test_a_python_program_past_its_time_is_ended_and_what_it_printed_kept(
    runtime: str, language: str, code: str
) -> None:
    outcome = await run(runtime, language, f"print('begun')\n{code}", timeout_ms=300)
    assert (outcome.status, outcome.error_type, outcome.ended) == ("timeout", "ItemTimeout", True)
    assert "300 ms" in (outcome.error_message or "")
    assert outcome.stdout == "begun\n"


@on_script
@pytest.mark.parametrize("code", ["for (;;);", "result = new Promise((go) => setTimeout(go, 600000))"])
async def test_a_javascript_program_past_its_time_is_ended(runtime: str, language: str, code: str) -> None:
    outcome = await run(runtime, language, f"console.log('begun');\n{code}", timeout_ms=800)
    assert (outcome.status, outcome.error_type, outcome.ended) == ("timeout", "ItemTimeout", True)
    assert outcome.stdout == "begun\n"


@on_all
async def test_a_program_within_its_time_is_left_alone(runtime: str, language: str) -> None:
    assert (await run(runtime, language, "result = 42", timeout_ms=60_000)).output == 42


async def test_the_servers_own_limit_is_a_timeout_too() -> None:
    async with session_on("Python", "python", time_scale=0.001) as session:
        outcome = await session.run(Program(code="import time\ntime.sleep(600)"), "0")
    assert (outcome.status, outcome.ended) == ("timeout", True)
    assert "Execution timeout (300s)" in (outcome.error_message or "")


async def test_state_that_stays_is_refused_and_not_pretended() -> None:
    async with session_on("Python", "python") as session:
        outcome = await session.run(Program(code="result = 1"), "0", isolation="session")
    assert (outcome.status, outcome.error_type, outcome.ended) == ("error", "InvalidOption", False)
    assert "isolation='item'" in (outcome.error_message or "")
