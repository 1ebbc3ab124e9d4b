"""`python -m loopai_lab.server`: the server process, as a child of a client or on its own.

As a child it listens on a Unix socket in its parent's private folder, says so in one line on stdout, and ends when its
parent does, however that happens.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from loopai_lab.errors import LoopaiLabError
from loopai_lab.server.app import App
from loopai_lab.server.door import Door
from loopai_lab.server.registry import Registry
from loopai_lab.server.sandbox.choice import choose
from loopai_lab.server.sandbox.launch import Limits


def main() -> int:
    """Run the server until it is told to stop; return the exit code."""
    options = _parser().parse_args()
    try:
        asyncio.run(serve(options))
    except LoopaiLabError as error:
        print(json.dumps({"failed": type(error).__name__, "error": str(error)}), flush=True)  # noqa: T201 - our protocol
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loopai_lab.server", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="a private folder for the socket and the sessions")
    parser.add_argument("--port", type=int, help="listen on this TCP port of 127.0.0.1 instead of a Unix socket")
    parser.add_argument("--token", default="", help="refuse TCP clients that do not send it")
    parser.add_argument("--sandbox", default="auto", help="auto, bubblewrap or plain")
    parser.add_argument("--memory-mb", type=int, default=1024, help="memory of each process of a session; 0: no limit")
    parser.add_argument("--child", action="store_true", help="end when the parent process ends or closes stdin")
    return parser


async def serve(options: argparse.Namespace) -> None:
    """Open the door, say so, and wait for the end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if options.child:
        _watch_parent(loop, stop)
    limits = Limits(memory_mb=options.memory_mb or None)
    registry = Registry(options.folder, choose(options.sandbox))
    app = App(registry, limits)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(registry.close_all)
        door = await stack.enter_async_context(Door.open(app, options))
        print(json.dumps({"ready": door.address}), flush=True)  # noqa: T201 - what our parent waits for
        await stop.wait()


def _watch_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when the parent ends (its pidfd) or lets go (stdin); a fork of the parent may hold stdin open for ever."""
    os.set_blocking(sys.stdin.fileno(), False)
    loop.add_reader(sys.stdin.fileno(), stop.set)
    parent = os.getppid()
    if parent > 1:
        loop.add_reader(os.pidfd_open(parent), stop.set)


if __name__ == "__main__":
    sys.exit(main())
