"""The first process of a session: it starts runners, enforces time limits, drains pipes, reaps, and runs no user code.

It holds the control channel to the server. When that channel ends, it kills everything below it and ends; as process 1
of a pid namespace, its end alone makes the kernel do so.
"""

from __future__ import annotations

import builtins
import json
import os
import signal
import socket
import sys
import time

from . import leftovers, python_runner, shell, talk
from .children import Child, Deadline, NotStarted, RunnerGone
from .control import Control
from .limits import Limits
from .zygotes import Zygotes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from . import wire
    from .children import ZygoteLink


TRIES = 3


class Supervisor:
    """Serve one session.

    Args:
        control: the stream to the server.
        config: limits, the module path, the folders that an item must find empty.
    """

    def __init__(self, control: socket.socket, config: dict[str, Any]) -> None:
        """Take over the process."""
        self._control = Control(control)
        self._workspace: str = config["workspace"]
        self._limits = Limits(**config["limits"])
        self._clean = {folder: frozenset(os.listdir(folder)) for folder in config["clean"]}
        self._zygotes = Zygotes(self._control, self._limits)
        self._keeper: Child | None = None
        self._kept_programs: set[str] = set()

    def serve(self) -> NoReturn:
        """Answer requests one after another until the server goes away."""
        self._control.send({"ready": True})
        operations: dict[str, Callable[[wire.Head, bytes], None]] = {
            "load": self._load,
            "run": self._run,
            "shell": self._shell,
        }
        while True:
            head, body = self._control.next_request()
            try:
                operations[head["op"]](head, body)
            except RunnerGone as error:
                reply = {"status": "error", "errorType": "RunnerGone", "error": str(error), "ended": True}
                self._control.send(reply)

    # -- loading ------------------------------------------------------------------------------------------------------

    def _load(self, head: wire.Head, body: bytes) -> None:
        deadline = Deadline(head.get("timeoutMs"))
        began = time.monotonic()
        if head["isolation"] == "item":
            reply = self._zygotes.load(head["program"], body.decode("utf-8", "surrogatepass"), deadline)
        else:
            reply = self._load_keeper(head["program"], body, deadline)
        self._control.send(reply | {"loadMs": (time.monotonic() - began) * 1000})

    def _load_keeper(self, key: str, source: bytes, deadline: Deadline) -> wire.Head:
        if key in self._kept_programs:
            return {"status": "success"}
        self._keeper = self._keeper or self._start_keeper()
        question = {"op": "load", "program": key}, source
        head, _ = talk.converse(self._control, self._keeper, question, deadline, None)
        if head["status"] == "success":
            self._kept_programs.add(key)
        return head

    def _start_keeper(self) -> Child:
        mine, theirs = socket.socketpair()
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        pid = os.fork()
        if not pid:
            self._limits.apply()
            python_runner.become_keeper(theirs, out_write, err_write)
        os.close(out_write)
        os.close(err_write)
        theirs.close()
        return Child(pid, os.pidfd_open(pid), mine, out_read, err_read, limits=self._limits)

    # -- running ------------------------------------------------------------------------------------------------------

    def _run(self, head: wire.Head, body: bytes) -> None:
        key, deadline = head["program"], Deadline(head.get("timeoutMs"))
        question = {"op": "run", "program": key, "script": head["script"], "resultBytes": self._limits.result_bytes}
        if head["isolation"] == "session":
            if self._keeper is None or key not in self._kept_programs:
                self._control.send({"status": "notLoaded"})
            else:
                self._control.send(*talk.converse(self._control, self._keeper, (question, body), deadline, None))
            return
        if key not in self._zygotes:
            self._control.send({"status": "notLoaded"})
            return
        why = "nothing was tried"
        for _ in range(TRIES):
            taken = self._zygotes.take_child(key, deadline)
            if isinstance(taken, dict):
                self._control.send(taken)
                return
            child, zygote = taken
            try:
                self._control.send(*talk.converse(self._control, child, (question, body), deadline, zygote))
            except NotStarted as error:  # an earlier item killed the child that waited for this one
                why = f"{error}\n{child.printed()['stderr']}"
            else:
                return
            finally:
                self._clear_up(key, child, zygote)
        raise RunnerGone(f"{TRIES} fresh processes ended before the program began; the last one: {why}")

    def _clear_up(self, key: str, child: Child, zygote: ZygoteLink) -> None:
        """Leave nothing of an item: no process, no file. Where that fails, the session is not fit for another item."""
        child.kill()
        if talk.exit_status(self._control, child, zygote, talk.EXIT_REPORT_MS) is None or zygote.is_gone:
            self._zygotes.drop(key)
        zygote.exits.pop(child.pid, None)
        child.close()
        known = self._zygotes.pids
        if self._keeper:
            known.add(self._keeper.pid)
        if not leftovers.kill_children(known):
            self._control.end()
        try:
            for folder, found_there in self._clean.items():
                leftovers.empty_folder(folder, found_there)
        except OSError:
            self._control.end()

    # -- commands -----------------------------------------------------------------------------------------------------

    def _shell(self, head: wire.Head, _: bytes) -> None:
        self._control.send(shell.run(head, self._limits, self._workspace, self._control))


def main() -> NoReturn:
    """Serve the control channel whose descriptor stands in the first argument, as configured in the second."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    control, config = int(sys.argv[1]), json.loads(sys.argv[2])
    sys.argv[:] = ["program.py"]
    for name in ("exit", "quit"):  # `site`, which would add them, costs 10 ms
        setattr(builtins, name, sys.exit)
    sys.path[:] = config["path"]
    package, _, _ = __name__.rpartition(".")
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]  # nothing that a program imports shall find ours
    if config["guard"]:
        leftovers.become_subreaper()
    os.chdir(config["workspace"])
    Supervisor(socket.socket(fileno=control), config).serve()
