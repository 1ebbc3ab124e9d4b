"""A real JupyterLab server for the browser tests: its own folders, a token, and nothing left when it ends."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes import MARK, left_after, new_mark

START_S = 90.0
END_S = 30.0


@dataclass(frozen=True)
class Server:
    """Where a server listens, and the word that opens it."""

    url: str
    token: str

    def page(self, notebook: str) -> str:
        """Return the address of a notebook in a fresh workspace."""
        return f"{self.url}/lab/tree/{notebook}?reset&token={self.token}"


@contextlib.contextmanager
def jupyterlab(folder: Path, notebooks: Path, settings: dict[str, Any]) -> Iterator[Server]:
    """Run JupyterLab on a copy of the notebooks until the block ends; then no process of it may be left.

    Args:
        folder: an empty folder for everything that it writes.
        notebooks: copied, so that a run changes nothing in the repository.
        settings: what users would choose in the settings editor, by plugin.
    """
    _furnish(folder, notebooks, settings)
    server = Server(f"http://127.0.0.1:{_free_port()}", secrets.token_hex(16))
    mark = new_mark()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            _command(folder, server), stdout=log, stderr=log, env=_environment(folder, mark), start_new_session=True
        )
        try:
            _wait_until_up(process, server, folder / "log")
            yield server
        finally:
            _end(process)
    left = left_after(mark, END_S)
    assert not left, f"JupyterLab left processes behind: {left}"


def _furnish(folder: Path, notebooks: Path, settings: dict[str, Any]) -> None:
    shutil.copytree(notebooks, folder / "root", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    for name in ("settings", "config", "data", "runtime", "ipython"):
        (folder / name).mkdir()
    (folder / "settings" / "overrides.json").write_text(json.dumps(settings))
    quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (folder / "settings" / "page_config.json").write_text(json.dumps(quiet))


def _command(folder: Path, server: Server) -> list[str]:
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": server.url.rpartition(":")[2],
        "ServerApp.port_retries": "0",
        "ServerApp.root_dir": str(folder / "root"),
        "ServerApp.open_browser": "False",
        "ServerApp.allow_root": "True",  # CI is root in its container
        "IdentityProvider.token": server.token,
        "LabApp.app_settings_dir": str(folder / "settings"),
        "LabApp.user_settings_dir": str(folder / "config" / "user-settings"),
        "LabApp.workspaces_dir": str(folder / "config" / "workspaces"),
        "LabApp.expose_app_in_browser": "True",
    }
    return [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]


def _environment(folder: Path, mark: str) -> dict[str, str]:
    own = {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        MARK: mark,
    }
    return os.environ | own


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_up(process: subprocess.Popen[bytes], server: Server, log: Path) -> None:
    deadline = time.monotonic() + START_S
    request = urllib.request.Request(f"{server.url}/api/status", headers={"Authorization": f"token {server.token}"})  # noqa: S310 - http, to ourselves
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-3000:]
                raise AssertionError(f"JupyterLab did not come up ({error}); its last words:\n{tail}") from error
        time.sleep(0.1)  # nothing tells when a server listens: ask again


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, which ends its kernels and they their sessions."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(END_S)
