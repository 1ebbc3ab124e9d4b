"""Imports at the top of a program are loaded once, before its items; whatever they do instead of loading is told."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from loopai_lab.models import Program
from loopai_lab.rpc.beaker import Beaker, connect
from loopai_lab.rpc.drivers import Outcome

Run = Callable[..., Awaitable[Outcome]]
pytestmark = pytest.mark.integration

MODULES = {
    "sleeps_for_ever": "import time\nwhile True: time.sleep(1)",
    "exits": "import os, sys\nprint('the licence has expired', file=sys.stderr, flush=True)\nos._exit(3)",
    "crashes": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
    "raises": "raise RuntimeError('not today')",
    "leaves": "import sys\nsys.exit('no')",
    "counts": "import os\nloaded_by = os.getpid()",
    "starts_a_thread": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\nx = 5",
}


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("libraries") / "site-packages"
    folder.mkdir()
    for name, source in MODULES.items():
        (folder / f"{name}.py").write_text(source)
    return folder


@pytest.fixture(scope="module")
async def beaker(sandbox: str, libraries: Path) -> AsyncIterator[Beaker]:
    """A server whose interpreter has a few more libraries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(libraries), os.environ.get("PYTHONPATH")))))
        async with connect(sandbox=sandbox) as opened:
            yield opened


@pytest.mark.parametrize("isolation", ["item", "session"])
async def test_an_import_that_never_ends_is_a_timeout_and_ends_the_session(run: Run, isolation: str) -> None:
    outcome = await run("import sleeps_for_ever\nresult = 1", timeout_ms=300, isolation=isolation)
    assert (outcome.status, outcome.ended) == ("timeout", True)


@pytest.mark.parametrize("isolation", ["item", "session"])
@pytest.mark.parametrize(("module", "words"), [("exits", "exited with code 3"), ("crashes", "SIGSEGV")])
async def test_an_import_that_ends_the_process_is_an_error_that_says_how(
    run: Run, module: str, words: str, isolation: str
) -> None:
    outcome = await run(f"import {module}\nresult = 1", isolation=isolation)
    assert (outcome.status, outcome.ended) == ("error", True)
    assert words in str(outcome.error_message)


@pytest.mark.parametrize(("module", "kind"), [("raises", "RuntimeError"), ("leaves", "SystemExit"), ("nowhere", None)])
async def test_an_import_that_fails_is_the_item_s_own_error_at_its_own_line(
    run: Run, module: str, kind: str | None
) -> None:
    outcome = await run(f"x = 1\nimport {module}\nresult = 1")
    again = await run(f"import {module}\nresult = 1")
    assert outcome.error_type == again.error_type == (kind or "ModuleNotFoundError")
    if kind != "SystemExit":
        assert 'File "program.py", line 2' in str(outcome.error_message)
        assert 'File "program.py", line 1' in str(again.error_message)
    assert not again.ended


async def test_what_is_imported_at_the_top_is_loaded_once_for_all_items(run: Run) -> None:
    code = '"""Its docstring."""\nfrom __future__ import annotations\nimport os, counts\n'
    code += "result = [counts.loaded_by, os.getpid()]"
    (first, one), (second, other) = (await run(code)).output, (await run(code)).output
    assert first == second
    assert len({first, one, other}) == 3


async def test_an_import_that_starts_a_thread_is_left_to_each_item(run: Run) -> None:
    for _ in range(3):
        outcome = await run("import starts_a_thread, threading\nresult = threading.active_count()")
        assert outcome.output == 2


async def test_an_import_can_be_tried_and_caught(run: Run, beaker: Beaker) -> None:
    assert (await run("try:\n    import raises\nexcept RuntimeError:\n    result = 'caught'")).output == "caught"
    fresh = await beaker.create_session("python")
    assert (await fresh.run(Program(code="result = 1"), "null")).output == 1
    await fresh.close()
