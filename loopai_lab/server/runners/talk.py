"""One question to a child, and what comes of it: its answer, its end, or the end of its time."""

from __future__ import annotations

import select

from . import leftovers
from .children import Child, Deadline, NotStarted, RunnerGone, ZygoteLink, describe_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import wire
    from .control import Control

DYING_MS = 300.0  # between the end of its channel and the end of a process
EXIT_REPORT_MS = 1000.0  # a zygote that takes longer is replaced, which costs no more than that


def converse(
    control: Control, child: Child, question: tuple[wire.Head, bytes], deadline: Deadline, zygote: ZygoteLink | None
) -> tuple[wire.Head, bytes]:
    """Ask the child and return its answer, or one that says why there is none; what it prints is drained meanwhile.

    Args:
        control: heard meanwhile.
        child: the one to ask.
        question: the head and body of the request.
        deadline: when the child is killed.
        zygote: whose child it is; None for our own.

    Raises:
        NotStarted: the zygote's child was ended before the program began.
    """
    try:
        found = _watch(control, child, question, deadline)
    except RunnerGone as error:
        if zygote and isinstance(error, NotStarted):
            raise
        status = exit_status(control, child, zygote, DYING_MS)
        child.kill()
        return describe_end("the program", status, str(error)) | child.printed(), b""
    if found is None:
        child.kill()
        return {"status": "timeout", "ended": True} | child.printed(), b""
    reply, result = found
    return reply | child.printed(), result


def _watch(
    control: Control, child: Child, question: tuple[wire.Head, bytes], deadline: Deadline
) -> tuple[wire.Head, bytes] | None:
    channel, ears, end = child.channel.fileno(), control.fileno(), child.pidfd
    streams = {child.out.fd: child.out, child.err.fd: child.err}
    poll = select.poll()
    for fd in (channel, ears, end, *streams):
        poll.register(fd, select.POLLIN)
    if not child.ask(*question):
        poll.modify(channel, select.POLLIN | select.POLLOUT)
    while not deadline.passed:
        ready = dict(poll.poll(deadline.left_ms()))
        if ears in ready:
            control.hear()
        if ready.get(channel, 0) & select.POLLOUT and child.send_more():
            poll.modify(channel, select.POLLIN)
        if (channel in ready or end in ready) and (answer := child.receive()):
            return answer
        if end in ready:  # a process that it forked may hold the channel open; it has none the less ended
            message = "it ended without an answer"
            raise RunnerGone(message)
        for fd in streams.keys() & ready.keys():
            if not streams[fd].pump():
                poll.unregister(fd)
    return None


def exit_status(control: Control, child: Child, zygote: ZygoteLink | None, patience_ms: float) -> int | None:
    """Return how a child ended and reap it; None when it lives on, or its zygote does not say.

    Raises nothing: a zygote that is gone leaves its children to us, the subreaper or process 1.
    """
    if zygote is None:
        ended = control.wait(child.pidfd, Deadline(patience_ms))
        return leftovers.kill_and_reap(child.pid) if ended else None
    deadline = Deadline(patience_ms)
    try:
        while child.pid not in zygote.exits:
            if not control.wait(zygote.channel.fileno(), deadline):
                return None
            zygote.receive()
    except RunnerGone:
        zygote.reap()  # then its children are ours
        return leftovers.kill_and_reap(child.pid) if control.wait(child.pidfd, deadline) else None
    return zygote.exits[child.pid]
