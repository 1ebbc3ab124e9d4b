"""Processes killed in the middle of a batch: nothing runs twice, everything is reported once, the rest succeeds."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import loopai_lab as ll
from tests.support.processes import MARK, left_after, marked, new_mark

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]
ITEMS, AT_ONCE = 2000, 8
# Appending is one write: a line of the log is a run of an item, whatever becomes of its answer.
CODE = """
import os
log = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(log, b"%d\\n" % input_data)
os.close(log)
result = input_data
"""


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Mark every process of the test; none may be left after it."""
    mark = new_mark()
    monkeypatch.setenv(MARK, mark)
    yield mark
    assert left_after(mark) == []


def check(result: ll.BatchResult, log: Path) -> Counter[str]:
    """Require that every item is reported once and ran once at most, and return how many ended how."""
    runs = Counter(int(line) for line in log.read_text().split())
    assert max(runs.values()) == 1, "an item ran twice"
    assert [item.index for item in result.items] == list(range(ITEMS))
    succeeded = {item.index for item in result.items if item.success}
    assert succeeded <= runs.keys()
    assert all(item.output == item.index for item in result.items if item.success)
    return Counter(item.status for item in result.items)


# Plain, because a program in bubblewrap has no file that we could read: the log is what proves the point.
@pytest.mark.usefixtures("mark")
def test_a_killed_server_loses_what_was_running_and_nothing_else(tmp_path: Path) -> None:
    log = tmp_path / "runs"
    with ll.Lab(sandbox="plain", max_size=AT_ONCE) as lab:
        run = lab.start(ll.Program(code=CODE.format(log=str(log))), range(ITEMS), max_concurrency=AT_ONCE)
        while run.progress.done < ITEMS // 4:
            assert not run.wait(0.01)
        source = lab.source
        assert isinstance(source, ll.Beaker)
        first = source.server_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        result = run.result(240)
        assert source.server_pid not in {None, first}
    ended = check(result, log)
    assert ended["lost"] <= AT_ONCE
    assert ended["success"] == ITEMS - ended["lost"]


def test_runners_killed_at_random_cost_their_own_items_only(mark: str, tmp_path: Path) -> None:
    log = tmp_path / "runs"
    chance = random.Random(7)
    kills = 0
    with ll.Lab(sandbox="plain", max_size=AT_ONCE) as lab:
        run = lab.start(ll.Program(code=CODE.format(log=str(log))), range(ITEMS), max_concurrency=AT_ONCE)
        source = lab.source
        assert isinstance(source, ll.Beaker)
        while not run.wait(0.05):
            runners = [pid for pid in marked(mark) if pid != source.server_pid]
            if runners:
                try:
                    os.kill(chance.choice(runners), signal.SIGKILL)
                    kills += 1
                except ProcessLookupError:
                    continue
        result = run.result(1)
    ended = check(result, log)
    assert kills > 0
    assert ended["success"] >= ITEMS - kills
    assert ended["success"] + ended["lost"] + ended["error"] == ITEMS
