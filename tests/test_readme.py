"""What the README shows works as printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


def blocks(repository: Path, language: str) -> list[str]:
    text = (repository / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.integration
def test_the_first_snippet_prints_its_answers(repository: Path, tmp_path: Path) -> None:
    script = tmp_path / "snippet.py"
    script.write_text(blocks(repository, "python")[0], encoding="utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "2 [{'words': 4, 'longest': 'quick'}, {'words': 5, 'longest': 'jumps'}]\n", done.stderr


@pytest.mark.integration
def test_the_asynchronous_snippet_runs(repository: Path, tmp_path: Path) -> None:
    snippet = blocks(repository, "python")[1].replace("        ...\n", "        print(item.output)\n        break\n")
    program = 'program = ll.Program(code="result = input_data * 2")\nitems = [1, 2]\n'
    around = f"import asyncio\nimport itertools\nimport loopai_lab as ll\n{program}endless_items = itertools.count\n"
    body = "\n".join(f"    {line}" for line in snippet.splitlines())
    script = tmp_path / "snippet.py"
    script.write_text(f"{around}async def main():\n{body}\n    print(result.success_count)\nasyncio.run(main())\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("2\n")


def test_every_command_of_the_readme_exists(repository: Path) -> None:
    text = "".join(blocks(repository, "console"))
    made = set(re.findall(r"^\$ make (\w+)", text, re.MULTILINE))
    targets = set(re.findall(r"^(\w+):.*##", (repository / "Makefile").read_text(), re.MULTILINE))
    assert made
    assert made <= targets
    called = set(re.findall(r"^\$ loopai-lab (\w+)", text, re.MULTILINE))
    listed = subprocess.run(
        [sys.executable, "-m", "loopai_lab.cli", "--help"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert called
    assert all(f" {command} " in listed for command in called)
