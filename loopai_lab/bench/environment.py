"""Where a run was made: what somebody needs to know before comparing its figures with others."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from loopai_lab import __version__
from loopai_lab.bench.child import FIND_PACKAGE, line_child

if TYPE_CHECKING:
    from loopai_lab.rpc.beaker import Capabilities

LIBRARIES = ("anyio", "numpy", "pydantic", "websockets")
LOADED = f"{FIND_PACKAGE}import json; from loopai_lab import Lab; print(json.dumps(sorted(sys.modules)))"


def environment(server: Capabilities) -> dict[str, str]:
    """Return what is known about this machine, this Python and the sandbox in force, as words."""
    versions = {name: metadata.version(name) for name in LIBRARIES}
    return {
        "loopai_lab": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} cores, {_processor()}",
        "load": load(),
        "sandbox": server.sandbox + (f" (weaker: {server.sandbox_weakness})" if server.sandbox_weakness else ""),
        "libraries": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def load() -> str:
    """Return how busy the machine was over the last minute; figures from a busy one are noise."""
    return f"{os.getloadavg()[0]:.2f}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unnamed"


async def modules_loaded() -> list[str]:
    """Return the modules that a fresh interpreter holds after importing the package and its `Lab`."""
    async with line_child(LOADED) as child:
        names: list[str] = json.loads(await child.receive())
    return names
