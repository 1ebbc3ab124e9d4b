"""The first process of a session: it starts runners, enforces time limits, drains pipes, reaps, and never runs user code.

It holds the control channel to the server. When that channel ends, it kills everything below it and ends; as process 1 of a
pid namespace, its end alone makes the kernel do so.
"""

from __future__ import annotations

import builtins
import json
import os
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

import leftovers
import python_runner
import shell
import wire
from children import Child, Deadline, RunnerGone, ZygoteLink

if TYPE_CHECKING:
    from collections.abc import Callable

ZYGOTES_KEPT = 4
EXIT_GRACE_MS = 2000.0
OWN_MODULES = ("capture", "children", "leftovers", "program", "python_runner", "shell", "supervisor", "wire")


class Supervisor:
    """Serve one session.

    Args:
        control: the stream to the server.
        config: limits, the module path, the folders that an item must find empty.
    """

    def __init__(self, control: socket.socket, config: dict[str, Any]) -> None:
        """Take over the process."""
        self._control = control
        self._config = config
        self._limits = python_runner.Limits(**config["limits"])
        self._clean = {folder: frozenset(os.listdir(folder)) for folder in config["clean"]}
        self._frames = wire.FrameReader()
        self._sources: dict[str, str] = {}
        self._zygotes: dict[str, ZygoteLink] = {}
        self._keeper: Child | None = None
        self._kept_programs: set[str] = set()

    # -- the control channel ------------------------------------------------------------------------------------------

    def serve(self) -> NoReturn:
        """Answer requests one after another until the server goes away."""
        self._send({"ready": True})
        operations: dict[str, Callable[[wire.Head, bytes], None]] = {
            "load": self._load,
            "run": self._run,
            "shell": self._shell,
        }
        while True:
            frame = wire.read_frame(self._control, self._frames)
            if frame is None:
                self._end()
            try:
                operations[frame[0]["op"]](*frame)
            except RunnerGone as error:
                self._send({"status": "error", "errorType": "RunnerGone", "error": str(error), "ended": True})

    def _send(self, head: wire.Head, body: bytes = b"") -> None:
        try:
            self._control.sendall(wire.pack(head, body))
        except OSError:
            self._end()

    def _end(self) -> NoReturn:
        leftovers.kill_descendants()
        os._exit(0)

    def _hear_control(self) -> None:
        """Keep what the server sends during a run for later; end when it is gone."""
        data = self._control.recv(1 << 18)
        if not data:
            self._end()
        self._frames.feed(data)

    # -- loading ------------------------------------------------------------------------------------------------------

    def _load(self, head: wire.Head, body: bytes) -> None:
        self._sources[head["program"]] = body.decode("utf-8", "surrogatepass")
        deadline = Deadline(head.get("timeoutMs"))
        began = time.monotonic()
        if head["isolation"] == "item":
            reply = self._load_zygote(head["program"], deadline)
        else:
            reply = self._load_keeper(head["program"], deadline)
        self._send(reply | {"loadMs": (time.monotonic() - began) * 1000})

    def _load_zygote(self, key: str, deadline: Deadline) -> wire.Head:
        if key in self._zygotes:
            return {"status": "success"}
        link = self._start_zygote(key, preload=True)
        if not self._await_loaded(link, deadline):
            link.close()
            return {"status": "timeout", "error": "the program's imports ran past the time limit", "ended": True}
        loaded = link.loaded or {}
        if loaded.get("threads", 1) > 1:
            # A fork of a process with threads may hold a lock for ever: start again, and let every item import.
            link.close()
            leftovers.kill_and_reap(link.pid)
            link = self._start_zygote(key, preload=False)
            self._await_loaded(link, deadline)
        if "failed" in loaded:
            link.close()
            return {"status": "error", "errorType": loaded["failed"], "error": loaded["error"]}
        link.fork_ahead()
        self._zygotes[key] = link
        if len(self._zygotes) > ZYGOTES_KEPT:
            oldest = next(iter(self._zygotes))
            self._zygotes.pop(oldest).close()
        return {"status": "success", "preloaded": loaded.get("threads", 1) == 1}

    def _start_zygote(self, key: str, *, preload: bool) -> ZygoteLink:
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if not pid:
            self._limits.apply()
            python_runner.become_zygote(theirs, self._sources[key], preload=preload)
        theirs.close()
        return ZygoteLink(pid, mine, self._limits.output_bytes)

    def _await_loaded(self, link: ZygoteLink, deadline: Deadline) -> bool:
        while link.loaded is None:
            if not self._wait(link.channel.fileno(), deadline):
                return False
            link.receive()
        return True

    def _load_keeper(self, key: str, deadline: Deadline) -> wire.Head:
        if key in self._kept_programs:
            return {"status": "success"}
        keeper = self._keeper or self._start_keeper()
        head, _ = self._converse(keeper, {"op": "load", "program": key}, self._sources[key].encode("utf-8", "surrogatepass"), deadline)
        if head["status"] == "success":
            self._kept_programs.add(key)
        return head | keeper.printed()

    def _start_keeper(self) -> Child:
        mine, theirs = socket.socketpair()
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        pid = os.fork()
        if not pid:
            self._limits.apply()
            python_runner.become_keeper(theirs, out_write, err_write)
        for fd in (out_write, err_write):
            os.close(fd)
        theirs.close()
        self._keeper = Child(pid, mine, out_read, err_read, self._limits.output_bytes)
        return self._keeper

    # -- running ------------------------------------------------------------------------------------------------------

    def _run(self, head: wire.Head, body: bytes) -> None:
        deadline = Deadline(head.get("timeoutMs"))
        request = {
            "op": "run",
            "program": head["program"],
            "script": head.get("script", False),
            "resultBytes": self._limits.result_bytes,
        }
        if head["isolation"] == "session":
            keeper = self._keeper or self._start_keeper()
            self._send(*self._converse(keeper, request, body, deadline))
            return
        zygote = self._zygotes[head["program"]]
        child = self._take_spare(zygote, deadline)
        if child is None:
            self._send({"status": "timeout", "error": "no fresh process was ready in time", "ended": True})
            return
        zygote.fork_ahead()
        self._send(*self._converse(child, request, body, deadline, zygote))
        self._clear_up(child, zygote)

    def _take_spare(self, zygote: ZygoteLink, deadline: Deadline) -> Child | None:
        while not zygote.spares:
            if not self._wait(zygote.channel.fileno(), deadline):
                return None
            zygote.receive()
        return zygote.spares.popleft()

    def _converse(
        self, child: Child, head: wire.Head, body: bytes, deadline: Deadline, zygote: ZygoteLink | None = None
    ) -> tuple[wire.Head, bytes]:
        """Ask the child and wait for its answer, its end or the deadline, draining what it prints meanwhile."""
        try:
            child.ask(head, body)
            answer = self._watch(child, deadline, zygote)
        except RunnerGone as error:
            child.kill()
            return self._obituary(child, zygote, str(error)) | child.printed(), b""
        if answer is None:
            child.kill()
            return {"status": "timeout", "ended": True} | child.printed(), b""
        reply, result = answer
        del reply["nonce"]
        return reply | child.printed(), result

    def _watch(
        self, child: Child, deadline: Deadline, zygote: ZygoteLink | None
    ) -> tuple[wire.Head, bytes] | None:
        channel, out, err, control = child.channel.fileno(), child.out.fd, child.err.fd, self._control.fileno()
        poll = select.poll()
        for fd in (channel, out, err, control):
            poll.register(fd, select.POLLIN)
        if zygote:
            poll.register(zygote.channel.fileno(), select.POLLIN)
        while not deadline.passed:
            for fd, _ in poll.poll(deadline.left_ms()):
                if fd == channel:
                    if frame := child.receive():
                        return frame
                elif fd == control:
                    self._hear_control()
                elif zygote and fd == zygote.channel.fileno():
                    zygote.receive()
                elif not (child.out if fd == out else child.err).pump():
                    poll.unregister(fd)
        return None

    def _wait(self, fd: int, deadline: Deadline) -> bool:
        """Wait until a descriptor can be read; False when the deadline passed first."""
        control = self._control.fileno()
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(control, select.POLLIN)
        while not deadline.passed:
            ready = {found for found, _ in poll.poll(deadline.left_ms())}
            if control in ready:
                self._hear_control()
            if fd in ready:
                return True
        return False

    # -- after an item ------------------------------------------------------------------------------------------------

    def _obituary(self, child: Child, zygote: ZygoteLink | None, reason: str) -> wire.Head:
        """Say how a child ended: its exit code or its signal."""
        status = self._exit_status(child, zygote)
        reply: wire.Head = {"status": "error", "errorType": "ProcessDied", "ended": True}
        if status is None:
            return reply | {"error": reason}
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            name = signal.Signals(-code).name
            return reply | {"signal": name, "error": f"the program was killed by {name} (signal {-code}); {reason}"}
        return reply | {"exitCode": code, "error": f"the process exited with code {code}; {reason}"}

    def _exit_status(self, child: Child, zygote: ZygoteLink | None) -> int | None:
        if zygote is None:
            self._keeper = None
            return os.waitpid(child.pid, 0)[1]
        deadline = Deadline(EXIT_GRACE_MS)
        while child.pid not in zygote.exits:
            if not self._wait(zygote.channel.fileno(), deadline):
                return None
            try:
                zygote.receive()
            except RunnerGone:
                return None
        return zygote.exits[child.pid]

    def _clear_up(self, child: Child, zygote: ZygoteLink) -> None:
        """Leave nothing of an item: no process, no file."""
        child.kill()
        self._exit_status(child, zygote)
        zygote.exits.pop(child.pid, None)
        child.close()
        known = {link.pid for link in self._zygotes.values()}
        if self._keeper:
            known.add(self._keeper.pid)
        leftovers.kill_children(known)
        for folder, found_there in self._clean.items():
            leftovers.empty_folder(folder, found_there)

    # -- commands -----------------------------------------------------------------------------------------------------

    def _shell(self, head: wire.Head, _: bytes) -> None:
        self._send(shell.run(head, self._limits, self._config["workspace"], self._wait))


def main() -> NoReturn:
    """Serve the control channel whose descriptor stands in the first argument, as configured in the second."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    control, config = int(sys.argv[1]), json.loads(sys.argv[2])
    sys.argv[:] = ["program.py"]
    builtins.exit = builtins.quit = sys.exit  # `site`, which would add them, costs 10 ms
    sys.path[:] = config["path"]
    for name in OWN_MODULES:
        sys.modules.pop(name, None)  # a program's own `import program` shall not find ours
    if config["guard"]:
        leftovers.become_subreaper()
    os.chdir(config["workspace"])
    Supervisor(socket.socket(fileno=control), config).serve()


if __name__ == "__main__":
    main()
