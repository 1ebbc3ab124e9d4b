"""The zygotes of a session: one per program, started when needed, the least used one ended when there are too many."""

from __future__ import annotations

import os
import socket

from . import python_runner
from .children import Child, Deadline, RunnerGone, ZygoteLink, describe_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import wire
    from .control import Control
    from .limits import Limits

ZYGOTES_KEPT = 4
SOURCES_KEPT = 64
LOADER = "the process that loads the program's imports"


class Zygotes:
    """Keep programs loaded, each in a process that forks a virgin child per item.

    Args:
        control: heard while a program loads.
        limits: of each zygote, and so of its children.
    """

    def __init__(self, control: Control, limits: Limits) -> None:
        """Start with none."""
        self._control = control
        self._limits = limits
        self._links: dict[str, ZygoteLink] = {}
        self._sources: dict[str, str] = {}

    def __contains__(self, key: object) -> bool:
        """Whether the program can be run without its source being sent again."""
        return key in self._sources

    @property
    def pids(self) -> set[int]:
        """The zygotes' processes."""
        return {link.pid for link in self._links.values()}

    def load(self, key: str, source: str, deadline: Deadline) -> wire.Head:
        """Compile a program and load its imports, and have a first child forked ahead."""
        self._sources.pop(key, None)
        self._sources[key] = source
        while len(self._sources) > SOURCES_KEPT:
            self.forget(next(iter(self._sources)))
        reply = self._started(key, deadline)
        if reply["status"] != "success":
            self.forget(key)
        return reply

    def forget(self, key: str) -> None:
        """Drop a program; running it needs its source again."""
        self._sources.pop(key, None)
        self.drop(key)

    def drop(self, key: str) -> None:
        """End a zygote that is not wanted, or not to be trusted, any more; the next item starts another."""
        link = self._links.pop(key, None)
        if link is not None:
            link.close()

    def take_child(self, key: str, deadline: Deadline) -> tuple[Child, ZygoteLink] | wire.Head:
        """Return a virgin child and its zygote, which forks the next one meanwhile; or why there is none."""
        for last_try in (False, True):
            if key not in self._links:
                reply = self._started(key, deadline)
                if reply["status"] != "success":
                    return reply
            link = self._links[key] = self._links.pop(key)  # the last in order is the last used
            try:
                child = self._spare(link, deadline)
                if child is None:
                    return {"status": "timeout", "error": "no fresh process was ready in time", "ended": True}
                link.fork_ahead()
            except RunnerGone:  # an earlier item killed it: the next one must not pay for that
                self.drop(key)
                if last_try:
                    raise
            else:
                return child, link
        raise AssertionError

    def _spare(self, link: ZygoteLink, deadline: Deadline) -> Child | None:
        """Return a child that still lives."""
        while True:
            while not link.spares or self._control.wait(link.channel.fileno(), Deadline(0)):
                if not self._control.wait(link.channel.fileno(), deadline):
                    return None
                link.receive()
            child = link.spares.popleft()
            if link.exits.pop(child.pid, None) is None:
                return child
            child.close()  # an earlier item killed it
            link.fork_ahead()

    def _started(self, key: str, deadline: Deadline) -> wire.Head:
        """Start the zygote of a program unless it is there."""
        if key in self._links:
            return {"status": "success"}
        while len(self._links) >= ZYGOTES_KEPT:
            self.drop(next(iter(self._links)))
        link = self._fork(key, preload=True)
        reply = self._loaded(link, deadline)
        if reply["status"] == "success" and not reply["preloaded"]:
            # A fork of a process with threads may hold a lock for ever: start again, and let every item import.
            link.close()
            link = self._fork(key, preload=False)
            reply = self._loaded(link, deadline) | {"preloaded": False}
        if reply["status"] == "success":
            self._links[key] = link
        else:
            link.close()
        return reply

    def _fork(self, key: str, *, preload: bool) -> ZygoteLink:
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if not pid:
            self._limits.apply()
            python_runner.become_zygote(theirs, self._sources[key], preload=preload)
        theirs.close()
        return ZygoteLink(pid, mine, self._limits)

    def _loaded(self, link: ZygoteLink, deadline: Deadline) -> wire.Head:
        """Wait until the zygote has loaded its program, and ask for its first child."""
        try:
            while link.loaded is None:
                if not self._control.wait(link.channel.fileno(), deadline):
                    return {
                        "status": "timeout",
                        "error": "the program's imports ran past the time limit",
                        "ended": True,
                    }
                link.receive()
            said = link.loaded
            if "failed" in said:
                return {"status": "error", "errorType": said["failed"], "error": said["error"]}
            link.fork_ahead()
        except RunnerGone as error:
            return describe_end(LOADER, link.reap(), str(error))
        return {"status": "success", "preloaded": said["threads"] == 1}
