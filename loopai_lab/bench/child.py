"""A Python child process that is asked and answers line by line: what floors and peers run in.

They run in children of their own so that they neither share our event loop nor inherit our descriptors. A child reads
its standard input and ends with it, so none is left when this process is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from loopai_lab.errors import LoopaiLabError

# A child finds this very package, wherever it was imported from.
FIND_PACKAGE = f"import sys; sys.path.append({str(Path(__file__).parents[2])!r})\n"
END_TIMEOUT_S = 10.0


class ArmFailed(LoopaiLabError):
    """A way to do the work did not do it: its figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class LineChild:
    """Talk to a child process; `line_child` starts one.

    Args:
        process: the child.
        writer: its standard input.
        reader: its standard output.
    """

    process: asyncio.subprocess.Process
    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader

    def send(self, line: bytes) -> None:
        """Write one line; a pipe holds more than the bench ever has in flight, so nothing waits here."""
        self.writer.write(line + b"\n")

    async def receive(self) -> bytes:
        """Return the next line.

        Raises:
            ArmFailed: the child has ended; the message holds what it wrote.
        """
        line = await self.reader.readline()
        if not line:
            raise ArmFailed(f"a child of the bench ended: {await self._last_words()}")
        return line

    async def ask(self, line: bytes) -> bytes:
        """Send a line and return the next one."""
        self.send(line)
        return await self.receive()

    async def _last_words(self) -> str:
        assert self.process.stderr is not None  # noqa: S101 - we asked for the pipe
        text = (await self.process.stderr.read()).decode(errors="replace").strip()
        return text[-2000:] or "it wrote nothing"


@contextlib.asynccontextmanager
async def line_child(source: str, *args: str) -> AsyncGenerator[LineChild, None]:
    """Start a Python child with the program text `source`, and end it at the end of the block."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, *args, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )
    assert process.stdin is not None  # noqa: S101 - we asked for the pipes
    assert process.stdout is not None  # noqa: S101
    try:
        yield LineChild(process, process.stdin, process.stdout)
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None  # noqa: S101
    process.stdin.close()
    try:
        async with asyncio.timeout(END_TIMEOUT_S):
            await process.communicate()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
