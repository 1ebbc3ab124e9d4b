"""The command line as a person types it: what it prints, how it exits, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import MARK, left_after, marked, new_mark

pytestmark = pytest.mark.integration
COMMAND = [sys.executable, "-m", "loopai_lab.cli"]


def call(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=100, check=False, env=os.environ | (env or {})
    )


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary folder for the command alone; short, because a socket's path must be."""
    with tempfile.TemporaryDirectory(prefix="ll-") as folder:
        yield Path(folder)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "double.py"
    file.write_text("result = input_data['n'] * 2\n")
    return file


def test_a_program_runs_over_a_file_of_json_lines(program: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "items.jsonl"
    inputs.write_text('{"n": 1}\n\n{"id": "mine", "input": {"n": 2}}\n')
    done = call("run", str(program), "--inputs", str(inputs), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [(item["item_id"], item["output"]) for item in document["items"]] == [("0", 2), ("mine", 4)]
    assert document["success_count"] == document["total_items"] == 2


def test_a_program_runs_over_the_rows_of_a_csv_file(program: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "items.csv"
    inputs.write_text("n,name\n3,x\n4,y\n")
    done = call("run", str(program), "--inputs", str(inputs), "--concurrency", "2")
    assert done.returncode == 0, done.stderr
    assert "2 items: 2 ok, 0 failed" in done.stdout


def test_failed_items_are_shown_and_the_exit_code_says_so() -> None:
    done = call("run", "fail-every-fifth")
    assert done.returncode == 1
    assert "40 ok, 10 failed" in done.stdout
    assert "item-5: error: ValueError: value 5 is a multiple of five" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "fail-every-fifth", "--concurrency", "0"], "max_concurrency=0"),
        (["run", "fail-every-fifth", "--timeout-ms", "-1"], "timeout_ms=-1"),
        (["run", "no-such-thing"], "neither a task"),
        (["run", "nowhere.py"], "cannot be read"),
        (["run", "{program}"], "items is missing"),
        (["run", "{program}", "--inputs", "nowhere.jsonl"], "cannot be read"),
        (["run", "{program}", "--inputs", "items.xml"], "must end in .jsonl"),
        (["run", "fail-every-fifth", "--provider", "magic"], "provider"),
        (["run", "fail-every-fifth", "--url", "http://localhost"], "is not a WebSocket URL"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], says: str, program: Path) -> None:
    done = call(*(argument.replace("{program}", str(program)) for argument in arguments))
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_says_what_is_in_force_and_runs_a_program() -> None:
    done = call("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sandbox" in done.stdout
    assert "ok: 41 + 1 = 42" in done.stdout


def test_nothing_is_left_after_a_command(temporary: Path) -> None:
    mark = new_mark()
    assert call("run", "fail-every-fifth", env={MARK: mark, "TMPDIR": str(temporary)}).returncode == 1
    assert left_after(mark) == []
    assert list(temporary.iterdir()) == []


def start(mark: str, temporary: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a command and return when programs of its items are running."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {MARK: mark, "TMPDIR": str(temporary)},
        start_new_session=True,
    )
    while len(marked(mark)) < 8:
        assert process.poll() is None, process.communicate()
    return process


def test_ctrl_c_keeps_what_was_finished_and_leaves_no_process(tmp_path: Path, temporary: Path) -> None:
    program = tmp_path / "slow.py"
    program.write_text("import time\ntime.sleep(input_data)\nresult = 1\n")
    inputs = tmp_path / "items.jsonl"
    inputs.write_text("0\n0\n60\n60\n60\n")
    mark = new_mark()
    process = start(mark, temporary, "run", str(program), "--inputs", str(inputs), "--concurrency", "4")
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    assert "cancelled" in stdout
    assert "stopped:" in stderr
    assert left_after(mark) == []
    assert list(temporary.iterdir()) == []


def test_a_killed_client_leaves_no_process_and_no_folder(temporary: Path) -> None:
    mark = new_mark()
    process = start(mark, temporary, "run", "sleep", "--concurrency", "2")
    process.kill()
    process.communicate()
    assert left_after(mark) == []
    assert list(temporary.iterdir()) == []
