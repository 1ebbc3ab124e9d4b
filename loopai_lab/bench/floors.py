"""The two floors: what the work costs on the barest way to an interpreter, and what a WebSocket costs without any work.

Whatever runs Python in another process behind a WebSocket pays both, so their sum is what our latency is held against.
Both are written as anyone would write them: asyncio streams here, the websockets library there.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, unix_connect

from loopai_lab.bench.child import ArmFailed, LineChild, line_child
from loopai_lab.bench.work import CODE, check_answers, inputs
from loopai_lab.rpc.jsonrpc import encode

PIPE_CHILD = f"""
import json, sys
code = compile({CODE!r}, "program.py", "exec")
answers = sys.stdout.buffer
for line in sys.stdin.buffer:
    namespace = {{"input_data": json.loads(line)}}
    exec(code, namespace)
    answers.write(json.dumps(namespace["result"]).encode() + b"\\n")
    answers.flush()
"""

# The child makes and removes the socket's folder: it outlives us if we are killed.
ECHO_CHILD = """
import asyncio, sys, tempfile
from websockets.asyncio.server import unix_serve

async def echo(socket):
    async for message in socket:
        await socket.send(message)

async def main(path):
    async with unix_serve(echo, path, compression=None, ping_interval=None):
        print(path, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

with tempfile.TemporaryDirectory(prefix="loopai-lab-echo-") as folder:
    asyncio.run(main(folder + "/socket"))
"""


@dataclass(frozen=True, slots=True)
class BarePipe:
    """One long-lived interpreter on a pipe: reads a line of JSON, runs the compiled program, writes a line of JSON.

    Args:
        child: the interpreter.
    """

    child: LineChild

    @staticmethod
    @contextlib.asynccontextmanager
    async def open() -> AsyncGenerator[BarePipe, None]:
        """Start the interpreter."""
        async with line_child(PIPE_CHILD) as child:
            yield BarePipe(child)

    async def latencies_ms(self, count: int) -> list[float]:
        """Make `count` round trips one after the other."""
        spent_ms, answers = [], []
        for value in inputs(count):
            began = time.perf_counter()
            answers.append(json.loads(await self.child.ask(json.dumps(value).encode())))
            spent_ms.append((time.perf_counter() - began) * 1000)
        check_answers(answers, count=count)
        return spent_ms

    async def items_per_s(self, count: int, *, in_flight: int = 10) -> float:
        """Make `count` round trips, `in_flight` at a time, and return the rate."""
        lines = iter([json.dumps(value).encode() for value in inputs(count)])
        answers: list[Any] = []
        began = time.perf_counter()
        for _, line in zip(range(in_flight), lines, strict=False):
            self.child.send(line)
        while len(answers) < count:
            answers.append(json.loads(await self.child.receive()))
            if (line := next(lines, b"")) != b"":
                self.child.send(line)
        spent_s = time.perf_counter() - began
        check_answers(answers, count=count)
        return count / spent_s


def run_call(number: int) -> dict[str, Any]:
    """Return a message of the size and the shape of our `session.execute` call for one item, about 200 bytes."""
    command = {"type": "run", "program": "0" * 32, "isolation": "item", "timeoutMs": None, "inputs": [{"n": number}]}
    params = {"sessionId": "0" * 32, "command": command}
    return {"jsonrpc": "2.0", "id": number, "method": "session.execute", "params": params}


@dataclass(frozen=True, slots=True)
class Echo:
    """A WebSocket server on a Unix socket that sends back what it gets; no compression, no pings.

    Args:
        socket: a connection to it.
    """

    socket: ClientConnection

    @staticmethod
    @contextlib.asynccontextmanager
    async def open() -> AsyncGenerator[Echo, None]:
        """Start the server and connect to it."""
        async with line_child(ECHO_CHILD) as child:
            path = (await child.receive()).decode().strip()
            async with unix_connect(path, uri="ws://localhost/", compression=None, ping_interval=None) as socket:
                yield Echo(socket)

    async def latencies_ms(self, count: int) -> list[float]:
        """Send `count` messages one after the other, each when the one before is back."""
        spent_ms = []
        for number in range(count):
            began = time.perf_counter()
            await self._send(number)
            await self._receive(number)
            spent_ms.append((time.perf_counter() - began) * 1000)
        return spent_ms

    async def items_per_s(self, count: int, *, in_flight: int = 10) -> float:
        """Send `count` messages, `in_flight` at a time, and return the rate."""
        began = time.perf_counter()
        for number in range(min(in_flight, count)):
            await self._send(number)
        for number in range(count):
            await self._receive(number)
            if number + in_flight < count:
                await self._send(number + in_flight)
        return count / (time.perf_counter() - began)

    async def _send(self, number: int) -> None:
        await self.socket.send(encode(run_call(number)))

    async def _receive(self, number: int) -> None:
        message = json.loads(await self.socket.recv())
        if message["id"] != number:
            raise ArmFailed(f"the echo of message {number} is that of message {message['id']}")
