"""How a program runs on a server that is not ours: what is sent to each of its runtimes, and what comes back.

Such a server starts a process for every run, keeps no time and, on some runtimes, tells no exit code. So the program is
sent inside a wrapper (see `wrappers`) that keeps the time, tells how it ended, and prints the answer between marks that
are drawn anew for every run. All of it is ASCII: the server cuts longer characters at its 4 KB borders.
"""

from __future__ import annotations

import base64
import re
import secrets
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from loopai_lab.errors import BeakerError, CallTimeout, ConnectionLost, ProtocolError, RemoteError, SessionNotFound
from loopai_lab.rpc.drivers import ANSWER_GRACE_S, NOT_REPLAYED, STATUSES, Outcome, read_answer
from loopai_lab.rpc.jsonrpc import decode, encode

if TYPE_CHECKING:
    from loopai_lab.models import Isolation, Program
    from loopai_lab.rpc.remote import RemoteSession

ARGUMENT_CHARACTERS = 100_000
"""The kernel takes 128 KB in one argument,"""
ARGUMENTS_CHARACTERS = 1_000_000
"""and about 2 MB in all of them; what is longer goes through a file."""
GONE = ("Session not found", "Session is closed", "Session environment is null", "Environment is stopped")
BUSY = "Environment is not ready"
SERVER_LIMIT = "Execution timeout"
MODULE_TAIL = (
    '\n;export const __left = () => [typeof result === "undefined" ? undefined : result,'
    ' typeof main === "function" ? main : undefined];'
)
_ODD_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN')
_PYTHONS = ("python", "python3", "py")
_TYPESCRIPTS = ("typescript", "ts")


async def run_foreign(
    session: RemoteSession, program: Program, input_json: str, *, isolation: Isolation, timeout_ms: float | None
) -> Outcome:
    """Run a program on a session of a foreign server.

    Raises:
        SessionNotFound: the server had no such session any more; the program did not start.
    """
    if isolation == "session":
        message = "isolation='session' cannot be had here: this server starts a process per run; use isolation='item'"
        return Outcome(status="error", error_type="InvalidOption", error_message=message)
    token = f"loopai-{secrets.token_hex(16)}"
    wait_s = None if timeout_ms is None else timeout_ms / 1000 + ANSWER_GRACE_S
    try:
        command = await _command(session, program, input_json, token, timeout_ms)
        reply = await session.execute(command, timeout_s=wait_s)
        return _outcome(session, reply, token, timeout_ms)
    except CallTimeout as error:
        return Outcome(status="timeout", error_type="ItemTimeout", error_message=str(error), ended=True)
    except RemoteError as error:
        if any(text in str(error) for text in (*GONE, BUSY)):
            raise SessionNotFound(str(error), code=error.code, data=error.data) from error
        return _lost(error)
    except (ConnectionLost, ProtocolError) as error:
        return _lost(error)


def _lost(error: BeakerError | str) -> Outcome:
    return Outcome(status="lost", error_type="SessionLost", error_message=f"{error}. {NOT_REPLAYED}", ended=True)


# -- what is sent -----------------------------------------------------------------------------------------------------


@cache
def _wrapper(name: str) -> str:
    return resources.files("loopai_lab.rpc").joinpath("wrappers", name).read_text(encoding="ascii")


async def _command(
    session: RemoteSession, program: Program, input_json: str, token: str, timeout_ms: float | None
) -> str:
    """Return the command that runs the program, as JSON text."""
    is_python = program.language.strip().lower() in _PYTHONS
    if not is_python:
        input_json = _ODD_NUMBER.sub(lambda found: _marked(found[0], token), input_json)
    if session.runtime == "Docker":
        return await _shell_command(session, is_python, encode([program.code, input_json, token, timeout_ms]))
    if session.runtime in {"Deno", "Bun"}:
        payload = encode([_module_url(program), input_json, token, timeout_ms])
        code = f"{_wrapper('module.js')}\nsupervise(...JSON.parse({encode(payload)}));\n"
    else:
        payload = encode([program.code, input_json, token, timeout_ms])
        code = _native_code(payload, is_python=is_python)
    return f'{{"type":"execute","code":{encode(code)}}}'


def _marked(found: str, token: str) -> str:
    """Return a number that JSON.parse does not know as a marked string, and a string as it is."""
    return found if found[0] == '"' else f'"{token}n{found}"'


def _native_code(payload: str, *, is_python: bool) -> str:
    if is_python:
        return f"{_wrapper('python.py')}\n\nsupervise(*json.loads({payload!r}))\n"
    return f"{_wrapper('node.js')}\nsupervise(...JSON.parse({encode(payload)}));\n"


def _module_url(program: Program) -> str:
    """Return a program as a module that can be imported, with what it leaves as its export."""
    kind = "application/typescript" if program.language.strip().lower() in _TYPESCRIPTS else "text/javascript"
    source = (program.code + MODULE_TAIL).encode("utf-8", "replace")
    return f"data:{kind};base64,{base64.b64encode(source).decode()}"


async def _shell_command(session: RemoteSession, is_python: bool, payload: str) -> str:  # noqa: FBT001
    """Return a shell command; what is too long for its arguments is put into a file first, piece by piece."""
    if len(payload) <= ARGUMENTS_CHARACTERS:
        pieces = _pieces(payload)
        python, node = "''.join(sys.argv[1:])", "process.argv.slice(1).join('')"
    else:
        pieces = [await _put_file(session, payload, is_python=is_python)]
        python, node = "taken(sys.argv[1])", "taken(process.argv[1])"
    if is_python:
        argv = ["-c", f"{_wrapper('python.py')}\n\nsupervise(*json.loads({python}))\n", *pieces]
        return _shell("python3", argv)
    taken = "const taken = (path) => { const fs = require('fs'); const text = fs.readFileSync(path, 'utf8');"
    code = f"{_wrapper('node.js')}\n{taken} fs.unlinkSync(path); return text; }};\nsupervise(...JSON.parse({node}));\n"
    return _shell("node", ["-e", code, "--", *pieces])


def _pieces(text: str) -> list[str]:
    return [text[at : at + ARGUMENT_CHARACTERS] for at in range(0, len(text), ARGUMENT_CHARACTERS)]


def _shell(command: str, argv: list[str]) -> str:
    """Return a shell command in /tmp: `/workspace` is not writable in every image."""
    return encode({"type": "shell", "command": command, "args": argv, "workingDirectory": "/tmp"})  # noqa: S108


async def _put_file(session: RemoteSession, text: str, *, is_python: bool) -> str:
    """Write a file on the server by shell: its `write_file` says nothing of failures, and is not done when it returns.

    Raises:
        ProtocolError: it could not be written; the program did not start.
    """
    path = f"/tmp/loopai-{secrets.token_hex(16)}.json"  # noqa: S108 - the one place that every image can write to
    append = "import sys; open(sys.argv[1], 'a').write(''.join(sys.argv[2:]))"
    if not is_python:
        append = "require('fs').appendFileSync(process.argv[1], process.argv.slice(2).join(''))"
    start = ("python3", ["-c", append]) if is_python else ("node", ["-e", append, "--"])
    for at in range(0, len(text), ARGUMENTS_CHARACTERS):
        pieces = _pieces(text[at : at + ARGUMENTS_CHARACTERS])
        said = _Said.read(await session.execute(_shell(start[0], [*start[1], path, *pieces])))
        if said.exit_code != 0:
            raise ProtocolError(f"the input could not be sent to {path}: {said.stderr.strip() or said.exit_code}")
    return path


# -- what comes back --------------------------------------------------------------------------------------------------


class _Said:
    """What a command left: a string on native runtimes, an object on Docker.

    Args:
        success: as the server says; on Docker, whether the exit code is 0, which the server does not look at.
        exit_code: None where the server does not tell.
    """

    __slots__ = ("exit_code", "stderr", "stdout", "success")

    def __init__(self, success: object, stdout: object, stderr: object, exit_code: object) -> None:
        """Take the parts, whatever they are."""
        self.exit_code = exit_code if isinstance(exit_code, int) else None
        self.success = bool(success) and not self.exit_code
        self.stdout = stdout if isinstance(stdout, str) else ""
        self.stderr = stderr if isinstance(stderr, str) else ""

    @classmethod
    def read(cls, reply: object) -> _Said:
        """Return what a reply says.

        Raises:
            ProtocolError: it is not a reply to a command.
        """
        if not isinstance(reply, dict) or "success" not in reply:
            raise ProtocolError("the server's reply to the command has no `success`")
        result, error = reply.get("result"), reply.get("error")
        if isinstance(result, dict):
            stderr = result.get("stderr") or error
            return cls(reply["success"], result.get("stdout"), stderr, result.get("exitCode"))
        return cls(reply["success"], result, error, None)


def _outcome(session: RemoteSession, reply: object, token: str, timeout_ms: float | None) -> Outcome:
    """Return what a reply means; the program's own printing is all that stands outside the marks.

    Raises:
        ProtocolError: what stands between the marks is damaged.
    """
    said = _Said.read(reply)
    records: dict[str, list[Any]] = {"a": [], "o": [], "e": []}
    record = re.compile(rf"<{token}([aoe])>([^<]*)</{token}>\n?")
    for kind, text in record.findall(said.stdout):
        try:
            records[kind].append(decode(text))
        except ValueError as error:
            raise ProtocolError(f"the program's answer came back damaged: {error}") from error
    outside = record.sub("", said.stdout)
    answers = [answer for answer in records["a"] if isinstance(answer, dict) and answer.get("status") in STATUSES]
    answer: dict[str, Any] = answers[0] if answers else _unanswered(session, said)
    answer["stdout"] = "".join((answer.get("stdout", ""), *records["o"], outside))
    answer["stderr"] = "".join((answer.get("stderr", ""), *records["e"], said.stderr))
    answer["ended"] = answer.get("ended", False) or answer["status"] in {"timeout", "lost"}
    return read_answer(answer, session.id, timeout_ms)


def _unanswered(session: RemoteSession, said: _Said) -> dict[str, Any]:
    """Return what it means that no answer came."""
    if SERVER_LIMIT in said.stderr:
        return {"status": "timeout", "error": f"the server ended the program: {said.stderr.strip()}"}
    if said.success:
        return {"status": "error", "errorType": "NoResult", "error": "the program ended and produced no result"}
    if said.exit_code is not None:
        text = f"the process exited with code {said.exit_code}"
        return {"status": "error", "errorType": "ProcessDied", "error": text, "ended": True}
    if session.runtime == "Python":
        return {"status": "lost", "error": "the program was ended from outside: its session was closed, or the server"}
    text = "the process ended without an answer, and the server does not tell its exit code"
    return {"status": "error", "errorType": "ProcessDied", "error": text, "ended": True}
