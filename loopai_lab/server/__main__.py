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
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from loopai_lab.errors import LoopaiLabError
from loopai_lab.server.app import App
from loopai_lab.server.door import Door
from loopai_lab.server.registry import Registry
from loopai_lab.server.sandbox.choice import choose
from loopai_lab.server.sandbox.launch import Limits, compile_runners


def main() -> int:
    """Run the server until it is told to stop; return the exit code."""
    options = _parser().parse_args()
    try:
        asyncio.run(serve(options))
    except LoopaiLabError as error:
        return _tell_failure(type(error).__name__, str(error))
    except OSError as error:
        return _tell_failure("ServerUnavailable", f"the session server cannot listen: {error}")
    return 0


def _tell_failure(kind: str, reason: str) -> int:
    print(json.dumps({"failed": kind, "error": reason}), flush=True)  # noqa: T201 - what our parent waits for
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loopai_lab.server", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="a private folder for the socket and the sessions")
    parser.add_argument("--port", type=int, help="listen on this TCP port of 127.0.0.1 instead of a Unix socket")
    parser.add_argument("--token", default="", help="refuse TCP clients that do not send it")
    parser.add_argument("--sandbox", default="auto", help="auto, bubblewrap or plain")
    parser.add_argument("--memory-mb", type=int, default=1024, help="memory of each process of a session; 0: no limit")
    parser.add_argument("--child", action="store_true", help="end when the parent process ends or closes stdin")
    return parser


def _tell_parent(address: str) -> None:
    print(json.dumps({"ready": address}), flush=True)  # noqa: T201 - what our parent waits for


async def serve(options: argparse.Namespace, announce: Callable[[str], None] = _tell_parent) -> None:
    """Open the door, say so, and wait for the end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        if options.child:
            _watch_parent(loop, stop)
            # Our parent may have been killed: nobody else removes its folder then.
            stack.callback(shutil.rmtree, options.folder, ignore_errors=True)
        options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        compile_runners()
        registry = Registry(options.folder, choose(options.sandbox))
        stack.push_async_callback(registry.close_all)
        app = App(registry, Limits(memory_mb=options.memory_mb or None))
        door = await stack.enter_async_context(Door.open(app, options))
        announce(door.address)
        await stop.wait()


def _watch_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop when the parent ends (its pidfd) or lets go (stdin); a fork of the parent may hold stdin open for ever."""
    watched = [sys.stdin.fileno()]
    os.set_blocking(sys.stdin.fileno(), False)
    parent = os.getppid()
    if parent > 1:
        watched.append(os.pidfd_open(parent))

    def gone() -> None:
        for fd in watched:
            loop.remove_reader(fd)  # they would report it over and over while we clear up
        stop.set()

    for fd in watched:
        loop.add_reader(fd, gone)


if __name__ == "__main__":
    sys.exit(main())
