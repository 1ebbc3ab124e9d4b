"""The commands of a session: which runtime knows which, and in what shape each answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.fakes.runtimes import (
    NATIVE_TIMEOUT_S,
    Box,
    DotNetError,
    Reply,
    docker_shell,
    execute_file,
    native_shell,
    unsupported,
)

KINDS: dict[str, dict[str, type]] = {
    "execute": {"code": str},
    "shell": {"command": str, "args": list},
    "write_file": {"path": str, "content": str},
    "read_file": {"path": str},
    "create_dir": {"path": str},
    "copy_file": {"source": str, "destination": str},
    "install_packages": {"packages": list},
    "list_files": {},
    "diff": {},
    "apply_patch": {"patch": str},
}
MODES = {"create", "append", "overwrite"}
DENO = ["deno", "run", "--no-prompt", "--ext=ts"]


def check(command: object) -> dict[str, Any]:
    """Return a command that the server's deserializer takes: `type` first, and known."""
    if not isinstance(command, dict):
        raise DotNetError("ArgumentNullException", "command required (Parameter 'command')")
    if next(iter(command), None) != "type":
        raise DotNetError("NotSupportedException", "The JSON payload must specify a type discriminator first.")
    fields = KINDS.get(command["type"])
    if fields is None:
        raise DotNetError("JsonException", f"Read unrecognized type discriminator id '{command['type']}'.")
    for name, kind in fields.items():
        if not isinstance(command.get(name), kind):
            raise DotNetError("JsonException", f"The JSON value of {name} could not be converted.")
    if str(command.get("mode", "Create")).lower() not in MODES:
        raise DotNetError("JsonException", f"The JSON value of mode could not be converted: {command['mode']}")
    return command


async def carry_out(runtime: str, box: Box, command: dict[str, Any]) -> Reply:  # noqa: PLR0911
    """Carry out a command as one runtime does."""
    if runtime == "Docker":
        return await _docker(box, command)
    if runtime in {"Deno", "Bun"}:
        return await _with_files(runtime, box, command)
    kind = command["type"]
    if kind == "execute" and runtime == "Python":
        return await execute_file(box, command["code"], ".py", ["python3", "-u"], limit_s=NATIVE_TIMEOUT_S)
    if kind == "execute":
        return await execute_file(box, command["code"], ".js", ["node"], limit_s=NATIVE_TIMEOUT_S)
    if kind == "shell":
        return await native_shell(box, command)
    if kind == "install_packages":
        return {"success": True, "result": f"Installed {command['packages']}", "error": None, "durationMs": 1}
    return unsupported(kind, runtime)


async def _docker(box: Box, command: dict[str, Any]) -> Reply:
    kind = command["type"]
    if kind in {"execute", "install_packages"}:
        return unsupported(kind)
    if box.process is not None and box.process.returncode is None:
        raise DotNetError("InvalidOperationException", "Environment is not ready: Running")
    if kind == "shell":
        return await docker_shell(box, command)
    path = _inside(box, command.get("path", "."))
    if kind == "write_file":
        if path.parent.is_dir():  # else nothing is written, and nobody says so
            path.write_text(command["content"])
        return _object({"path": command["path"], "bytes": len(command["content"].encode())})
    if kind == "read_file":
        return _object({"path": command["path"], "content": path.read_text() if path.is_file() else ""})
    if kind == "create_dir":
        path.mkdir(parents=True, exist_ok=True)
        return _object({"path": command["path"]})
    return _object({})


def _object(result: dict[str, Any]) -> Reply:
    return {"success": True, "result": result, "error": None, "durationMs": 1}


async def _with_files(runtime: str, box: Box, command: dict[str, Any]) -> Reply:  # noqa: PLR0911
    """Carry out a command of Deno or Bun: both have files, and both leave the final newline out."""
    kind = command["type"]
    if kind == "execute":
        allowed = ",".join(("/workspace", "/tmp", str(box.folder)))  # noqa: S108 - what the server allows
        argv = [*DENO, f"--allow-read={allowed}", f"--allow-write={allowed}"] if runtime == "Deno" else ["bun", "run"]
        return await execute_file(box, command["code"], ".ts", argv, limit_s=None)
    if kind == "shell":
        return await native_shell(box, command)
    path = _inside(box, command.get("path", "."))
    if kind == "write_file":
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if str(command.get("mode")).lower() == "append" else "w") as file:
            file.write(command["content"])
        return _text(f"File written: {command['path']}")
    if kind == "read_file":
        if not path.is_file():
            return {"success": False, "result": None, "error": f"File not found: {command['path']}", "durationMs": 0}
        return _text(path.read_text())
    if kind == "create_dir":
        path.mkdir(parents=True, exist_ok=True)
        return _text(f"Directory created: {command['path']}")
    return unsupported(kind, runtime)


def _text(result: str) -> Reply:
    return {"success": True, "result": result, "error": None, "durationMs": 1}


def _inside(box: Box, path: str) -> Path:
    return box.folder / path.removeprefix("/workspace/").lstrip("/")
