"""A process per item, without a session: read a program and one input from stdin, answer on a pipe, end."""

from __future__ import annotations

import os
import sys

from . import program, wire


def main() -> None:
    """Answer the one request; the first argument is the descriptor that the answer goes to."""
    answer_fd = int(sys.argv[1])
    os.set_inheritable(answer_fd, False)  # noqa: FBT003 - it has no name to call it by
    reader = wire.FrameReader()
    while data := sys.stdin.buffer.read():
        reader.feed(data)
    frame = reader.next_frame()
    if frame is None:
        raise SystemExit("no request came on stdin")
    head, input_json = frame
    sys.argv[:] = [program.FILENAME]
    try:
        loaded = program.Program(head["code"])
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reply, text = {"status": "error", "errorType": type(error).__name__, "error": str(error)}, ""
    else:
        reply, text = loaded.run(program.fresh_namespace(), input_json.decode())
    with open(answer_fd, "wb") as pipe:
        pipe.write(wire.pack(reply, text.encode()))
