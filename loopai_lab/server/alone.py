"""The server on its own: on a TCP port of this machine, for any client, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

from loopai_lab.server.__main__ import serve


def run_alone(*, port: int, token: str, sandbox: str, memory_mb: int, say: Callable[[str], None]) -> int:
    """Run a server that is nobody's child; return the exit code.

    Args:
        port: on 127.0.0.1; 0 takes a free one.
        token: what clients must send; empty lets any local client in.
        sandbox: which one to use.
        memory_mb: memory of each process of a session; 0 is no limit.
        say: is given the lines to show.

    Raises:
        SandboxUnavailable: the sandbox that was asked for cannot be had.
    """

    def announce(address: str) -> None:
        say(f"session server at {address}")
        say(f"token {token}" if token else "no token: every local client may run programs here")

    with tempfile.TemporaryDirectory(prefix="loopai-lab-alone-") as folder:
        options = argparse.Namespace(
            folder=Path(folder), port=port, token=token, sandbox=sandbox, memory_mb=memory_mb, child=False
        )
        try:
            asyncio.run(serve(options, announce))
        except OSError as error:
            say(f"cannot listen on 127.0.0.1:{port}: {error}")
            return 1
    return 0
