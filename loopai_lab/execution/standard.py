"""The standard provider: a fresh process per item and no server; what there is without sessions.

It is a source of sessions like any other, whose sessions cost nothing to make and start a process for every run. So the
same executor, limits and books apply, and a comparison compares one thing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopai_lab.errors import UnsupportedLanguage
from loopai_lab.rpc.drivers import Outcome, read_answer
from loopai_lab.server.runners import wire

if TYPE_CHECKING:
    from loopai_lab.models import Isolation, Program

_RUNNERS = Path(wire.__file__).parent
_BOOT = (
    f"import sys; sys.path.insert(0, {str(_RUNNERS.parent)!r}); "
    f"from {_RUNNERS.name} import oneshot; del sys.path[0]; oneshot.main()"
)
_PYTHON = ("python", "python3", "py")


class ProcessSource:
    """Make sessions that start a process per run, with this interpreter and without a sandbox."""

    async def create_session(self, language: str) -> ProcessSession:
        """Return a session; nothing is started yet."""
        self.check_language(language)
        return ProcessSession()

    def check_language(self, language: str) -> None:
        """Refuse every language but Python.

        Raises:
            UnsupportedLanguage: it is another one.
        """
        if language.strip().lower() not in _PYTHON:
            raise UnsupportedLanguage(f"Unsupported language {language!r}: the standard provider runs python")


class ProcessSession:
    """Run programs, each in a process of its own."""

    def __init__(self) -> None:
        """Take an id for the books."""
        self.id = f"process-{uuid.uuid4().hex}"

    @property
    def is_open(self) -> bool:
        """Always: nothing stands between."""
        return True

    async def run(
        self, program: Program, input_json: str, *, isolation: Isolation = "item", timeout_ms: float | None = None
    ) -> Outcome:
        """Start a process, run the program on one input in it, and end it."""
        del isolation  # a fresh process per item is as isolated as this provider gets
        began = time.perf_counter()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            answer, pipe, process = await _start(out.fileno(), err.fileno())
            try:
                async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
                    request = wire.pack({"code": program.code}, input_json.encode())
                    frame, code = await _converse(process, answer, request)
            except TimeoutError:
                head: dict[str, Any] = {"status": "timeout"}
                return read_answer(head | _printed(out, err), self.id, timeout_ms)
            finally:
                pipe.close()
                await _end(process)
            head = frame[0] if frame else _obituary(code)
            if frame and frame[1]:
                head |= {"output": json.loads(frame[1])}
            head.setdefault("executeMs", (time.perf_counter() - began) * 1000)
            return read_answer(head | _printed(out, err), self.id, timeout_ms)

    async def check(self) -> None:
        """Find nothing wrong: there is nothing that could have gone."""

    async def close(self) -> None:
        """End nothing: every run has ended its process."""


async def _start(out: int, err: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport, asyncio.subprocess.Process]:
    loop = asyncio.get_running_loop()
    read_fd, write_fd = os.pipe()
    pipe_end = os.fdopen(read_fd, "rb", buffering=0)  # the transport closes it
    reader = asyncio.StreamReader(limit=1 << 30)
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe_end)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-X", "utf8", "-c", _BOOT, str(write_fd)),
            stdin=asyncio.subprocess.PIPE,
            stdout=out,
            stderr=err,
            pass_fds=[write_fd],
            start_new_session=True,
        )
    except BaseException:
        pipe.close()
        raise
    finally:
        os.close(write_fd)
    return reader, pipe, process


async def _converse(
    process: asyncio.subprocess.Process, answer: asyncio.StreamReader, request: bytes
) -> tuple[tuple[wire.Head, bytes] | None, int]:
    assert process.stdin is not None  # noqa: S101 - we asked for the pipe
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may end without reading all of it
        process.stdin.write(request)
        await process.stdin.drain()
        process.stdin.close()
    frames = wire.FrameReader()
    frames.feed(await answer.read())
    return frames.next_frame(), await process.wait()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the process and its group, leftovers included."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _obituary(code: int) -> dict[str, Any]:
    if code < 0:
        return {"status": "error", "errorType": "ProcessDied", "error": f"the program was killed by signal {-code}"}
    return {"status": "error", "errorType": "ProcessDied", "error": f"the process exited with code {code}"}


def _printed(out: Any, err: Any, most: int = 1 << 17) -> dict[str, Any]:
    texts: dict[str, Any] = {}
    for name, file in (("stdout", out), ("stderr", err)):
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        texts[name] = file.read(most).decode("utf-8", "replace")
        texts["truncated"] = texts.get("truncated", False) or size > most
    return texts
