"""An item meets nothing of the items before it, and leaves nothing to those after it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable

import pytest

from loopai_lab.models import Program
from loopai_lab.rpc.beaker import Beaker
from loopai_lab.rpc.drivers import Outcome

Run = Callable[..., Awaitable[Outcome]]
pytestmark = pytest.mark.integration

WRITE_TO_EVERY_DESCRIPTOR = """
import os
for fd in map(int, os.listdir('/proc/self/fd')):
    if fd > 2:
        try:
            os.write(fd, b'\\0\\0\\0\\2\\0\\0\\0\\0{}' * 50)
        except OSError:
            pass
result = 'mine'
"""


@pytest.mark.parametrize(
    ("leave", "look"),
    [
        ("x = 1", "'x' in globals()"),
        ("import json; json.dumps = None", "__import__('json').dumps is None"),
        ("import builtins; builtins.left = 1", "hasattr(__import__('builtins'), 'left')"),
        ("import os; os.environ['LEFT'] = '1'", "'LEFT' in __import__('os').environ"),
        ("import os; os.chdir('/')", "__import__('os').getcwd() == '/'"),
        ("import sys; sys.path.append('/left')", "'/left' in __import__('sys').path"),
        ("import os; os.umask(0o777)", "__import__('os').umask(0o22) == 0o777"),
        ("import signal; signal.signal(10, signal.SIG_IGN)", "__import__('signal').getsignal(10) == 1"),
        ("open('left', 'w').write('x')", "__import__('os').listdir('.') != []"),
        (
            "import os; os.makedirs('a/b/c'); os.chmod('a/b', 0); os.chmod('a', 0)",
            "__import__('os').listdir('.') != []",
        ),
        ("import os; os.chmod('.', 0)", "__import__('os').stat(__import__('os').getcwd()).st_mode & 0o777 == 0"),
        ("import os; os.symlink('/', 'link'); os.mkfifo('pipe')", "__import__('os').listdir('.') != []"),
        (
            "import os, tempfile; open(tempfile.gettempdir() + '/left', 'w')",
            "'left' in __import__('os').listdir(__import__('tempfile').gettempdir())",
        ),
        (
            "import threading; threading.Thread(target=threading.Event().wait).start()",
            "__import__('threading').active_count() > 1",
        ),
    ],
)
async def test_what_an_item_leaves_the_next_one_does_not_find(run: Run, leave: str, look: str) -> None:
    assert (await run(f"{leave}\nresult = {look}")).output is True  # it works as long as it is the same item
    assert (await run(f"result = {look}")).output is False


async def test_random_numbers_differ_from_item_to_item(run: Run) -> None:
    code = "import random, numpy\nresult = [random.random(), numpy.random.rand()]"
    first, second = (await run(code)).output, (await run(code)).output
    assert first[0] != second[0]
    assert first[1] != second[1]


async def test_a_folder_nested_deeper_than_any_path_is_removed(run: Run) -> None:
    deep = "import os\nfor _ in range(400):\n    os.mkdir('d' * 20); os.chdir('d' * 20)\nresult = 1"
    assert (await run(deep)).output == 1
    assert (await run("import os; result = os.listdir('.')")).output == []


COUNT = """
import os

def command(pid):
    try:
        return open(f'/proc/{pid}/cmdline').read()
    except OSError:
        return ''

def count():
    return sum('sleep\\x0097' in command(pid) for pid in os.listdir('/proc') if pid.isdigit())
"""
DAEMON = """
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp('sleep', ['sleep', '97'])
    os._exit(0)
"""


@pytest.mark.parametrize(
    "leave",
    [
        "import os; os.system('sleep 97 &')",
        "import subprocess; subprocess.Popen(['sleep', '97'], start_new_session=True)",
        DAEMON,
        "import os\nif os.fork() == 0: os.execvp('sleep', ['sleep', '97'])",
    ],
)
async def test_processes_that_an_item_leaves_are_gone_before_the_next_one(run: Run, leave: str) -> None:
    started = f"{leave}\n{COUNT}\nimport time\nwhile not count(): time.sleep(0.01)\nresult = count()"
    assert (await run(started)).output >= 1
    assert (await run(f"{COUNT}\nresult = count()")).output == 0


async def test_writing_to_every_descriptor_harms_nobody_else(run: Run, beaker: Beaker) -> None:
    outcome = await run(WRITE_TO_EVERY_DESCRIPTOR)
    assert outcome.status == "error"
    assert "broke the protocol" in str(outcome.error_message)
    fresh = await beaker.create_session("python")
    assert (await fresh.run(Program(code="result = 1"), "null")).output == 1
    await fresh.close()


async def test_closing_every_descriptor_is_an_error_of_the_item(run: Run) -> None:
    outcome = await run("import os, time; os.closerange(0, 4096); time.sleep(60)")
    assert outcome.status == "error"
    assert outcome.ended


async def test_an_item_that_kills_its_zygote_does_not_harm_the_next_one(run: Run) -> None:
    kill_parent = (
        "import os, signal, time\nif input_data: os.kill(os.getppid(), signal.SIGKILL); time.sleep(0.05)\nresult = 1"
    )
    assert (await run(kill_parent, value=True)).status in {"success", "error"}
    outcome = await run(kill_parent, value=False)
    assert outcome.output == 1


async def test_an_item_that_stops_its_zygote_does_not_hang_the_next_one(run: Run) -> None:
    stop_parent = "import os, signal\nif input_data: os.kill(os.getppid(), signal.SIGSTOP)\nresult = 1"
    assert (await run(stop_parent, value=True)).output == 1
    assert (await run(stop_parent, value=False)).output == 1


async def test_an_item_that_kills_the_child_that_waits_behind_it_does_not_harm_the_next_one(run: Run) -> None:
    code = (
        "import os, signal\nif input_data:\n    me, mine = os.getpid(), os.getppid()\n"
        "    for pid in open(f'/proc/{mine}/task/{mine}/children').read().split():\n"
        "        if int(pid) != me: os.kill(int(pid), signal.SIGKILL)\nresult = 1"
    )
    await run(code, value=False)
    assert (await run(code, value=True)).output == 1
    assert (await run(code, value=False)).output == 1


async def test_a_program_sees_nothing_of_our_environment_or_descriptors(run: Run) -> None:
    environment = (await run("import os; result = dict(os.environ)")).output
    assert set(environment) - {"LOOPAI_LAB_INSTANCE", "PWD"} <= {
        *("PATH", "LANG", "HOME", "TMPDIR", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "LC_CTYPE"),
    }
    # stdin, stdout, stderr, the hidden channel and the folder that is being listed
    assert len((await run("import os; result = os.listdir('/proc/self/fd')")).output) == 5


async def test_a_program_finds_none_of_our_modules(run: Run) -> None:
    ours = "import sys; result = [name for name in sys.modules if 'runner' in name or name in ('wire', 'supervisor')]"
    assert (await run(ours)).output == []
    assert (await run("import supervisor")).error_type == "ModuleNotFoundError"


async def test_the_interpreter_and_its_libraries_are_those_of_the_server(run: Run) -> None:
    outcome = await run("import sys, numpy; result = [list(sys.version_info[:3]), numpy.__version__]")
    import numpy as np

    assert outcome.output == [list(sys.version_info[:3]), np.__version__]


async def test_sessions_have_separate_folders(beaker: Beaker) -> None:
    one, other = [await beaker.create_session("python") for _ in range(2)]
    write = Program(code="open('mine', 'w').write('x'); import time, os; time.sleep(0.2); result = os.getcwd()")
    look = Program(code="import os; result = os.listdir('.')")
    assert (await one.run(write, "null")).status == "success"
    assert (await other.run(look, "null")).output == []
    await one.close()
    await other.close()
