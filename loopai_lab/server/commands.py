"""The commands of `session.execute`: CodeBeaker's `execute` and `shell`, and our `load` and `run`."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

from loopai_lab.errors import LoopaiLabError, SessionLost
from loopai_lab.rpc.jsonrpc import encode, why_not_json
from loopai_lab.rpc.longnumbers import encode_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopai_lab.server.link import Answer
    from loopai_lab.server.session import Session

Command = dict[str, Any]
ISOLATIONS = ("item", "session")


class BadCommand(LoopaiLabError):
    """A command lacks a field or has one of the wrong kind."""


class NotLoaded(LoopaiLabError):
    """A program was named by its key, and this session does not have it, or no more; nothing was run."""


async def run(session: Session, command: Command) -> str:
    """Carry out one command and return its reply as JSON text: `success`, `result`, `error`, `durationMs`."""
    handler = _COMMANDS.get(command["type"])
    if handler is None:
        message = f"command type {command['type']!r} is unknown; this server has {', '.join(_COMMANDS)}"
        raise BadCommand(message)
    began = time.perf_counter()
    success, result_json, error = await handler(session, command)
    duration_ms = (time.perf_counter() - began) * 1000
    success_json = "true" if success else "false"
    return f'{{"success":{success_json},"result":{result_json},"error":{encode(error)},"durationMs":{duration_ms:.3f}}}'


Outcome = tuple[bool, str, str | None]


async def _load(session: Session, command: Command) -> Outcome:
    """Load a program for later runs: `program` is its key, `code` its source."""
    head = await _loaded(session, command)
    return head["status"] == "success", encode({"loadMs": head.get("loadMs", 0.0)}), head.get("error")


async def _run(session: Session, command: Command) -> Outcome:
    """Run a loaded program on each of `inputs`, in order; a `code` given with it is loaded first, once."""
    inputs = command.get("inputs")
    if not isinstance(inputs, list):
        message = "run: inputs must be a list"
        raise BadCommand(message)
    head = await _loaded(session, command)
    if head["status"] != "success":
        return True, f"[{','.join(_item_json(head, b'') for _ in inputs)}]", None
    answers: list[str] = []
    for value in inputs:
        head, body = await _answer(session, command, value)
        if head["status"] == "notLoaded":
            if not answers:
                raise _not_loaded(session, command)
            break
        answers.append(_item_json(head, body))
        if session.is_ending:
            break  # an item ended the session; what came behind it has not run, and the caller sees that it is missing
    return True, f"[{','.join(answers)}]", None


async def _answer(session: Session, command: Command, value: object) -> Answer:
    """Run one item; a session that goes away meanwhile is the item's answer, so that those before it are not lost."""
    try:
        return await _run_one(session, command, value)
    except SessionLost as error:
        return {"status": "lost", "errorType": "SessionLost", "error": str(error), "ended": True}, b""


async def _run_one(session: Session, command: Command, value: object) -> Answer:
    request = {
        "op": "run",
        "program": command["program"],
        "isolation": _isolation(command),
        "timeoutMs": _timeout(command),
        "script": bool(command.get("script", False)),
    }
    session.executions += 1
    head, body = await session.request(request, encode_json(value).encode())
    if head["status"] == "notLoaded":
        session.loaded.discard((command["program"], _isolation(command)))
    return head, body


async def _loaded(session: Session, command: Command) -> dict[str, Any]:
    """Load the program unless this session has it; return the loader's answer."""
    key, isolation = command.get("program"), _isolation(command)
    if not isinstance(key, str):
        message = "program must be the key of a program"
        raise BadCommand(message)
    if (key, isolation) in session.loaded:
        return {"status": "success"}
    code = command.get("code")
    if not isinstance(code, str):
        raise _not_loaded(session, command)
    request = {"op": "load", "program": key, "isolation": isolation, "timeoutMs": _timeout(command)}
    head, _ = await session.request(request, code.encode("utf-8", "surrogatepass"))
    if head["status"] == "success":
        session.loaded.add((key, isolation))
    return head


def _not_loaded(session: Session, command: Command) -> NotLoaded:
    return NotLoaded(f"program {command['program']} is not loaded in session {session.id}, and its code was not sent")


def _item_json(head: dict[str, Any], body: bytes) -> str:
    """Return one item's answer as JSON text; the output is checked: the runner's process was the program's too."""
    if body and (reason := why_not_json(body)):
        head = head | {"status": "error", "errorType": "NotJson", "error": f"the result is not JSON: {reason}"}
        body = b""
    text = encode(head)
    return f'{text[:-1]},"output":{body.decode()}}}' if body else text


async def _execute(session: Session, command: Command) -> Outcome:
    """Run code as a script of its own, as CodeBeaker's native runtimes do: the result is what it printed."""
    code = command.get("code")
    if not isinstance(code, str):
        message = "execute: code must be a string"
        raise BadCommand(message)
    key = hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()
    script: Command = {"program": key, "code": code, "script": True, "isolation": "item"}
    script["timeoutMs"] = _seconds(command)
    head: dict[str, Any] = {"status": "notLoaded"}
    while head["status"] == "notLoaded":  # another request of the same session may have taken its place meanwhile
        head = await _loaded(session, script)
        if head["status"] == "success":
            head, _ = await _run_one(session, script, None)
    stderr = "\n".join(part for part in (head.get("stderr", "").rstrip(), head.get("error", "")) if part)
    return head["status"] == "success", encode(head.get("stdout", "").rstrip()), stderr or None


async def _shell(session: Session, command: Command) -> Outcome:
    """Run a program of the sandbox by its argument list; the result has stdout, stderr and the exit code."""
    name, args, env = command.get("command"), command.get("args") or [], command.get("env") or {}
    folder = command.get("workingDirectory")
    if not isinstance(name, str) or not _all_text(args, list) or not isinstance(folder, str | None):
        message = "shell: command and workingDirectory must be strings and args a list of strings"
        raise BadCommand(message)
    if not _all_text(env, dict) or not _all_text(list(env.values()), list):
        message = "shell: env must be an object of strings"
        raise BadCommand(message)
    request: Command = {"op": "shell", "command": name, "args": args, "timeoutMs": _timeout(command)}
    request |= {"cwd": folder, "env": env}
    session.executions += 1
    head, _ = await session.request(request)
    result = {"stdout": head["stdout"], "stderr": head["stderr"], "exitCode": head["exitCode"]}
    failed = head["status"] != "success" or head["exitCode"] != 0
    return not failed, encode(result), (head["stderr"].rstrip() or f"exit code {head['exitCode']}") if failed else None


def _all_text(value: object, kind: type[list[str] | dict[str, str]]) -> bool:
    return isinstance(value, kind) and all(isinstance(part, str) for part in value)


def _isolation(command: Command) -> str:
    isolation = command.get("isolation", "item")
    if isolation not in ISOLATIONS:
        message = f"isolation must be one of {', '.join(ISOLATIONS)}, not {isolation!r}"
        raise BadCommand(message)
    return str(isolation)


def _timeout(command: Command, name: str = "timeoutMs") -> float | None:
    value = command.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
        message = f"{name} must be a positive number, not {value!r}"
        raise BadCommand(message)
    return value


def _seconds(command: Command) -> float | None:
    """Return CodeBeaker's `timeout`, which is in seconds, in milliseconds; ours, where given, comes first."""
    ours, theirs = _timeout(command), _timeout(command, "timeout")
    return ours if ours is not None or theirs is None else theirs * 1000


_COMMANDS: dict[str, Callable[[Session, Command], Awaitable[Outcome]]] = {
    "execute": _execute,
    "shell": _shell,
    "load": _load,
    "run": _run,
}
