"""Which runtimes the fake has, which one it chooses, and how each really executes programs, quirks included.

Everything runs on this host, in a temporary folder per session: "Docker" is a shape here, not a container.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NATIVE_TIMEOUT_S = 300.0
CHUNK = 4096
SEARCH = os.pathsep.join((os.environ.get("PATH", ""), str(Path(sys.executable).parent)))  # deno comes as a wheel, too
TOOLS = {"python3": sys.executable, "python": sys.executable} | {
    tool: place for tool in ("node", "deno", "bun") if (place := shutil.which(tool, path=SEARCH))
}

Reply = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Runtime:
    """One row of the server's table: what it accepts, and the constants that the choice is made by."""

    name: str
    languages: tuple[str, ...]
    startup_ms: int
    memory_mb: int
    isolation: int
    tool: str

    @property
    def balanced(self) -> float:
        return 1000 / (self.startup_ms + 1) + 1000 / (self.memory_mb + 1) + self.isolation / 2

    def is_here(self) -> bool:
        return self.tool in TOOLS


RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime(
            "Docker", ("python", "javascript", "nodejs", "go", "golang", "csharp", "dotnet"), 2000, 250, 9, "python3"
        ),
        Runtime("Deno", ("deno", "typescript", "javascript"), 80, 30, 7, "deno"),
        Runtime("Bun", ("bun", "typescript", "javascript", "nodejs"), 50, 25, 7, "bun"),
        Runtime("NodeJs", ("node", "nodejs", "javascript", "typescript"), 100, 40, 5, "node"),
        Runtime("Python", ("python", "python3", "py"), 150, 50, 5, "python3"),
    )
}
PREFERENCES = {
    "Balanced": lambda runtime: -runtime.balanced,
    "Speed": lambda runtime: runtime.startup_ms,
    "Memory": lambda runtime: runtime.memory_mb,
    "Security": lambda runtime: -runtime.isolation,
}


class DotNetError(Exception):
    """What a handler of the server throws: it becomes -32603 with `kind: text` and a stack in `data`."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")


def choose(language: str, runtime_type: str | None, preference: str | None, available: set[str]) -> Runtime:
    """Return the runtime that the server takes: the one it is told, or the best by its scores."""
    language = language.lower()
    if runtime_type is not None:
        known = {name.lower(): runtime for name, runtime in RUNTIMES.items()}
        if runtime_type.lower() not in known:
            raise DotNetError("JsonException", f"The JSON value could not be converted: {runtime_type}")
        runtime = known[runtime_type.lower()]
        if runtime.name not in available or language not in runtime.languages:
            raise DotNetError("InvalidOperationException", f"Runtime {runtime.name} not available for {language}")
        return runtime
    fitting = [RUNTIMES[name] for name in RUNTIMES if name in available and language in RUNTIMES[name].languages]
    if not fitting:
        raise DotNetError("InvalidOperationException", f"No runtime available for language: {language}")
    return min(fitting, key=PREFERENCES[preference or "Balanced"])


@dataclass
class Box:
    """Where a session's programs run.

    Args:
        folder: the workspace.
        env: what its processes get on top of the environment.
        time_scale: what the server's constants are multiplied by.
    """

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    time_scale: float = 1.0
    process: asyncio.subprocess.Process | None = None
    files: int = 0
    is_closed: bool = False

    async def start(self, argv: list[str], env: dict[str, str] | None = None) -> asyncio.subprocess.Process:
        self.process = await asyncio.create_subprocess_exec(
            TOOLS.get(argv[0], argv[0]),
            *argv[1:],
            cwd=self.folder,
            env=os.environ | self.env | (env or {}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        if self.is_closed:  # while the process was starting
            await self.kill()
        return self.process

    async def kill(self) -> None:
        """Kill the whole tree, as .NET does: the descendants that left the group, too."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        for pid in [*descendants(process.pid), process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await process.wait()


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if Path(f"/proc/{pid}").exists() else ():
        found += [*descendants(int(child)), int(child)]
    return found


def lines_of(raw: bytes) -> str:
    """Return output as .NET's line events give it: any line ending becomes a newline, blanks at the end go."""
    return re.sub(r"\r\n|\r", "\n", raw.decode("utf-8", "replace")).rstrip()


def in_chunks(raw: bytes) -> str:
    """Return bytes decoded 4,096 at a time, each on its own: what crosses an edge is damaged."""
    return "".join(raw[at : at + CHUNK].decode("utf-8", "replace") for at in range(0, len(raw), CHUNK))


def native_reply(code: int | None, out: str, err: str) -> Reply:
    """Return a native runtime's reply: a string, no exit code, and stderr as `error` even on success."""
    return {"success": code == 0, "result": out, "error": err or None, "durationMs": 1}


def unsupported(kind: str, runtime: str = "") -> Reply:
    where = f"by {runtime} runtime" if runtime else ""
    text = f"Command type {kind} is not supported {where}" if runtime else f"Command type {kind} not supported"
    return {"success": False, "result": None, "error": text, "durationMs": 0}


async def execute_file(box: Box, code: str, suffix: str, argv: list[str], *, limit_s: float | None) -> Reply:
    """Write a program into the workspace and run it; the file stays there."""
    box.files += 1
    file = box.folder / f"exec_{box.files}{suffix}"
    file.write_bytes(code.encode("utf-8", "surrogatepass"))
    process = await box.start([*argv, str(file)])
    try:
        async with asyncio.timeout(None if limit_s is None else limit_s * box.time_scale):
            out, err = await process.communicate()
    except TimeoutError:
        await box.kill()
        return {"success": False, "result": "", "error": "Execution timeout (300s)", "durationMs": 300_000}
    return native_reply(process.returncode, lines_of(out), lines_of(err))


def split_arguments(joined: str) -> list[str]:
    """Return the arguments in one string, as .NET splits it: blanks part them unless double quotes hold them."""
    found = re.findall(r'(?:[^\s"\\]|\\.|"(?:\\.|[^"\\])*")+', joined)
    return [re.sub(r'\\(["\\])|"', lambda m: m[1] or "", part) for part in found]


async def native_shell(box: Box, command: dict[str, Any]) -> Reply:
    """Run a command with its arguments joined by blanks; no folder, no environment, no time limit."""
    argv = [command["command"], *split_arguments(" ".join(command["args"]))]
    process = await box.start(argv)
    out, err = await process.communicate()
    return native_reply(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


async def docker_shell(box: Box, command: dict[str, Any]) -> Reply:
    """Run an argument list; `success` is true whatever the exit code."""
    try:
        process = await box.start([command["command"], *command["args"]], command.get("env"))
    except FileNotFoundError:
        result = {"stdout": "", "stderr": f'exec: "{command["command"]}": not found in $PATH', "exitCode": 127}
    else:
        out, err = await process.communicate()
        code = process.returncode or 0
        result = {"stdout": in_chunks(out), "stderr": in_chunks(err), "exitCode": code if code >= 0 else 128 - code}
    return {"success": True, "result": result, "error": None, "durationMs": 1}
