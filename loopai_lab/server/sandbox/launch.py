"""What every sandbox has to say: the command that starts a session's supervisor inside it, and what it protects."""

from __future__ import annotations

import compileall
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

RUNNERS = Path(__file__).parent.parent / "runners"
BOOT = "import sys; sys.path.append({folder!r}); from {package} import supervisor; supervisor.main()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a session may use; None is no limit."""

    memory_mb: int | None = 1024
    open_files: int | None = 256
    file_size_mb: int | None = 256
    output_bytes: int = 1 << 17
    result_bytes: int = 1 << 26


@dataclass(frozen=True, slots=True)
class Launch:
    """A command, and the environment it starts with: all that a session inherits."""

    argv: list[str]
    env: dict[str, str]


class Sandbox(Protocol):
    """One way to confine a session.

    Args:
        name: what it is called in options and answers.
        protects: what it keeps from a program, in words.
        contains: whether the end of its first process is the end of all; else the server has to look for strays.
    """

    name: str
    protects: str
    contains: bool

    def launch(self, folder: Path, control: int, limits: Limits) -> Launch:
        """Return the command for a session whose private folder and control descriptor are given."""
        ...


def environment(workspace: str, temporary: str) -> dict[str, str]:
    """Return the environment of programs: nothing of the host's but the mark that tests find strays by."""
    env = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": workspace,
        "TMPDIR": temporary,
        # One thread per library: a zygote must stay single-threaded to be forked, and the pool is the parallelism.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    if mark := os.environ.get("LOOPAI_LAB_INSTANCE"):
        env["LOOPAI_LAB_INSTANCE"] = mark
    return env


def module_path() -> list[str]:
    """Return where programs find their modules: this interpreter's libraries, without the folder of any project."""
    libraries = [entry for entry in sys.path if entry and Path(entry).exists() and _is_library(Path(entry))]
    return list(dict.fromkeys(libraries))


def _is_library(entry: Path) -> bool:
    inside = any(entry.is_relative_to(prefix) for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix))
    return inside or entry.name in {"site-packages", "dist-packages"}


def supervisor_argv(runners: Path, control: int, config: dict[str, Any], limits: Limits) -> list[str]:
    """Return the command line of a supervisor; `-I -S` because every millisecond of start-up is a session's.

    Args:
        runners: the runners' folder as the sandbox sees it.
        control: the descriptor of the control channel.
        config: `workspace`, the folders to `clean` after an item, and whether to `guard` against orphans.
        limits: of each of the session's processes.
    """
    config = config | {"limits": asdict(limits), "path": module_path()}
    boot = BOOT.format(folder=str(runners.parent), package=runners.name)
    return [sys.executable, "-I", "-S", "-X", "utf8", "-c", boot, str(control), json.dumps(config)]


def compile_runners() -> None:
    """Compile the runners' files that have changed, or were never imported: a sandbox that sees them read-only cannot.

    Where this folder cannot be written to, every session compiles them anew, which costs it about 20 ms.
    """
    compileall.compile_dir(RUNNERS, maxlevels=0, quiet=2)
