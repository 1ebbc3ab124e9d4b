"""Run one program on one input and print the answer between two marks; the parent watches, its fork runs the program.

It is sent as text and runs on whatever Python the server has, from 3.8 on. What the program prints goes to files, not
to the stream that carries the answer: a server may cut, trim and re-encode that stream, and what was printed before a
kill is kept. Every item has an empty folder of its own.
"""
# ruff: noqa: BLE001, PTH108, PTH123, S102, SIM105, SIM115

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any, NoReturn

FILENAME = "program.py"
KEPT_BYTES = 1 << 17
ERROR_CHARACTERS = 1 << 15
CRASHED = 70
MISSING = object()
dumps, loads, perf_counter = json.dumps, json.loads, time.perf_counter  # the program may put others in their place


def supervise(code: str, input_json: str, token: str, timeout_ms: float | None) -> None:
    """Fork, wait until the fork ends or its time is over, and print what became of it."""
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)
    folder = tempfile.mkdtemp(prefix="loopai-item-")
    answer, out, err = (tempfile.TemporaryFile() for _ in range(3))
    pid = os.fork()
    if not pid:
        try:
            become_program(folder, out.fileno(), err.fileno())
            run(code, input_json, answer)
        finally:
            os._exit(CRASHED)
    report = wait(pid, timeout_ms)
    try:
        os.killpg(pid, signal.SIGKILL)  # what the program left behind
    except OSError:
        pass
    shutil.rmtree(folder, ignore_errors=True)
    answer.seek(0)
    said = answer.read().decode("ascii", "replace")
    finished = said and report["status"] != "timeout"
    report = {} if finished else report
    for name, file in (("stdout", out), ("stderr", err)):
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        report[name] = file.read(KEPT_BYTES).decode("utf-8", "replace")
        if size > KEPT_BYTES:
            report["truncated"] = True
    text = dumps(report)
    if finished:
        text = text[:-1] + "," + said[1:]
    text = text.replace("<", "\\u003c")
    sys.stdout.write(f"<{token}a>{text}</{token}>\n")
    sys.stdout.flush()


def wait(pid: int, timeout_ms: float | None) -> dict[str, Any]:
    """Wait for the fork, kill it when its time is over, and return how it ended."""
    overran = []

    def kill(*_: object) -> None:
        overran.append(True)
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:
            os.kill(pid, signal.SIGKILL)  # it has no group of its own yet

    if timeout_ms is not None:
        signal.signal(signal.SIGALRM, kill)
        signal.setitimer(signal.ITIMER_REAL, max(timeout_ms / 1000, 0.001))
    _, status = os.waitpid(pid, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    if overran:
        return {"status": "timeout"}
    if os.WIFSIGNALED(status):
        text = f"the program was killed by signal {os.WTERMSIG(status)}"
    else:
        text = f"the process exited with code {os.WEXITSTATUS(status)}"
    return {"status": "error", "errorType": "ProcessDied", "error": text}


def become_program(folder: str, out: int, err: int) -> None:
    """Make this fork a process of its own, with streams of its own."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for fd, target in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(fd, target)
    for name, fd in (("stdout", 1), ("stderr", 2)):
        raw = io.BufferedWriter(io.FileIO(fd, "w", closefd=False))
        stream = io.TextIOWrapper(raw, "utf-8", errors="backslashreplace", line_buffering=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    os.chdir(folder)
    sys.argv[:] = [FILENAME]
    sys.path[0] = ""


def run(code: str, input_json: str, answer: IO[bytes]) -> NoReturn:
    """Run the program, write its answer, and end."""
    me = os.getpid()
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    began = perf_counter()
    try:
        code, compiled = compiled_from(code)
        namespace = module.__dict__
        namespace["input_data"] = loads(input_json)
        began = perf_counter()
        exec(compiled, namespace)
        value = namespace.get("result", MISSING)
        if value is MISSING and callable(namespace.get("main")):
            value = namespace["main"](namespace["input_data"])
        spent_ms = (perf_counter() - began) * 1000
        text = encoded(value, spent_ms)
    except BaseException as error:
        spent_ms = (perf_counter() - began) * 1000
        text = dumps(dict(described(error, code), status="error", executeMs=spent_ms))
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: S112 - the program may have closed or replaced it
            continue
    if os.getpid() == me:  # else a copy that the program forked came to its end: the answer is its parent's to give
        answer.write(text.encode("ascii"))
        answer.flush()
    os._exit(0)


def compiled_from(code: str) -> tuple[str, types.CodeType]:
    """Return the source and its compiled form; code that is indented as a whole is taken as it was meant."""
    try:
        return code, compile(code, FILENAME, "exec", dont_inherit=True)
    except IndentationError:
        import textwrap

        code = textwrap.dedent(code)
        return code, compile(code, FILENAME, "exec", dont_inherit=True)


def encoded(value: object, spent_ms: float) -> str:
    """Return the answer as JSON text."""
    head = {"status": "success", "executeMs": spent_ms}
    if value is MISSING:
        text = "the program produced no result: assign `result`, or define `main(input_data)`"
        return dumps(dict(head, status="error", errorType="NoResult", error=text))
    try:
        body = dumps(value, default=plain)
    except Exception as error:
        text = shortened(f"the result cannot be sent as JSON: {str(error) or type(error).__name__}")
        return dumps(dict(head, status="error", errorType=type(error).__name__, error=text))
    return dumps(head)[:-1] + ',"output":' + body + "}"


def plain(value: object) -> object:
    """Turn a numpy array or scalar into plain numbers; refuse everything else by name."""
    tolist = getattr(value, "tolist", None)
    if callable(tolist):
        return tolist()
    kind = type(value)
    raise TypeError(f"a {kind.__module__}.{kind.__qualname__} is not JSON")


def described(error: BaseException, code: str) -> dict[str, Any]:
    """Return an exception's kind and text, with the program's own lines and without ours."""
    if isinstance(error, SystemExit):
        number = error.code if isinstance(error.code, int) else int(error.code is not None)
        said = "" if isinstance(error.code, int) or error.code is None else f": {error.code}"
        text = shortened(f"the program exited with code {int(number)}{said}")
        return {"errorType": "SystemExit", "exitCode": number, "error": text}
    import linecache
    import traceback

    linecache.cache[FILENAME] = (len(code), None, code.splitlines(keepends=True), FILENAME)
    frames = error.__traceback__
    while frames and frames.tb_frame.f_code.co_filename != FILENAME:
        frames = frames.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, frames)).rstrip()
    except Exception as second:
        text = f"{type(error).__name__} (its description failed: {type(second).__name__})"
    return {"errorType": type(error).__name__, "error": shortened(text)}


def shortened(text: str) -> str:
    """Return the begin and the end of a text that is too long."""
    half = ERROR_CHARACTERS // 2
    if len(text) <= 2 * half:
        return text
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"


def taken(path: str) -> str:
    """Return what a file holds, and remove it."""
    with open(path) as file:
        text = file.read()
    os.unlink(path)
    return text
