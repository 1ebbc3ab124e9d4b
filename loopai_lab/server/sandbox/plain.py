"""The weaker sandbox: a process group of its own, limits, a private folder. For where bubblewrap cannot be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loopai_lab.server.sandbox.launch import RUNNERS, Launch, Limits, environment, supervisor_argv

if TYPE_CHECKING:
    from pathlib import Path


class PlainSandbox:
    """Start a session as an ordinary process tree; its programs can see and reach what this user can."""

    name = "plain"
    protects = "limits and clean-up only: programs see this user's files and network"
    contains = False

    def launch(self, folder: Path, control: int, limits: Limits) -> Launch:
        """Make the session's folders and return its command."""
        workspace, temporary = folder / "workspace", folder / "tmp"
        workspace.mkdir()
        temporary.mkdir()
        config = {"workspace": str(workspace), "clean": [str(workspace), str(temporary)], "guard": True}
        argv = supervisor_argv(RUNNERS, control, config, limits)
        return Launch(argv, environment(str(workspace), str(temporary)))
