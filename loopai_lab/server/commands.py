"""The commands of `session.execute`: CodeBeaker's `execute` and `shell`, and our `load` and `run`."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from loopai_lab.errors import LoopaiLabError
from loopai_lab.rpc.jsonrpc import encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopai_lab.server.link import Answer
    from loopai_lab.server.session import Session

Command = dict[str, Any]
ISOLATIONS = ("item", "session")


class BadCommand(LoopaiLabError):
    """A command lacks a field or has one of the wrong kind."""


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
        answers.append(_item_json(*await _run_one(session, command, value)))
        if session.state in {"Closing", "Closed"}:
            break  # an item ended the session; what came behind it has not run, and the caller sees that it is missing
    return True, f"[{','.join(answers)}]", None


async def _run_one(session: Session, command: Command, value: object) -> Answer:
    request = {
        "op": "run",
        "program": command["program"],
        "isolation": _isolation(command),
        "timeoutMs": _timeout(command),
        "script": command.get("script", False),
    }
    session.executions += 1
    return await session.request(request, json.dumps(value).encode())


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
        message = f"program {key} is not loaded in session {session.id}, and its code was not sent"
        raise BadCommand(message)
    request = {"op": "load", "program": key, "isolation": isolation, "timeoutMs": _timeout(command)}
    head, _ = await session.request(request, code.encode("utf-8", "surrogatepass"))
    if head["status"] == "success":
        session.loaded.add((key, isolation))
    return head


def _item_json(head: dict[str, Any], body: bytes) -> str:
    """Return one item's answer as JSON text; the output is checked, because the runner's process was the program's too."""
    if body:
        try:
            json.loads(body)
        except (ValueError, RecursionError) as error:
            head = head | {"status": "error", "errorType": "NotJson", "error": f"the result is not JSON: {error}"}
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
    script = {"program": key, "code": code, "script": True, "isolation": "item"}
    head = await _loaded(session, script | {"timeoutMs": _seconds(command)})
    if head["status"] == "success":
        head, _ = await _run_one(session, script | {"timeoutMs": _seconds(command)}, None)
    stderr = "\n".join(part for part in (head.get("stderr", "").rstrip(), head.get("error", "")) if part)
    return head["status"] == "success", encode(head.get("stdout", "").rstrip()), stderr or None


async def _shell(session: Session, command: Command) -> Outcome:
    """Run a program of the sandbox by its argument list; the result has stdout, stderr and the exit code."""
    name, args = command.get("command"), command.get("args", [])
    if not isinstance(name, str) or not isinstance(args, list) or not all(isinstance(arg, str) for arg in args):
        message = "shell: command must be a string and args a list of strings"
        raise BadCommand(message)
    request = {"op": "shell", "command": name, "args": args, "timeoutMs": _timeout(command)}
    request |= {"cwd": command.get("workingDirectory"), "env": command.get("env") or {}}
    session.executions += 1
    head, _ = await session.request(request)
    result = {"stdout": head["stdout"], "stderr": head["stderr"], "exitCode": head["exitCode"]}
    failed = head["status"] != "success" or head["exitCode"] != 0
    return not failed, encode(result), (head["stderr"].rstrip() or f"exit code {head['exitCode']}") if failed else None


def _isolation(command: Command) -> str:
    isolation = command.get("isolation", "item")
    if isolation not in ISOLATIONS:
        message = f"isolation must be one of {', '.join(ISOLATIONS)}, not {isolation!r}"
        raise BadCommand(message)
    return str(isolation)


def _timeout(command: Command) -> float | None:
    value = command.get("timeoutMs")
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
        message = f"timeoutMs must be a positive number, not {value!r}"
        raise BadCommand(message)
    return value


def _seconds(command: Command) -> float | None:
    """Return CodeBeaker's `timeout`, which is in seconds, in milliseconds; ours, where given, comes first."""
    if command.get("timeout") is None:
        return _timeout(command)
    return _timeout({"timeoutMs": command["timeout"] * 1000})


_COMMANDS: dict[str, Callable[[Session, Command], Awaitable[Outcome]]] = {
    "execute": _execute,
    "shell": _shell,
    "load": _load,
    "run": _run,
}
