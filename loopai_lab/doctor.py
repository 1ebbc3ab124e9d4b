"""What `loopai-lab doctor` finds out: what is here, what is in force, what is missing and how to mend it."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from loopai_lab import __version__
from loopai_lab.errors import LoopaiLabError
from loopai_lab.lab import Lab
from loopai_lab.models import Program
from loopai_lab.rpc.beaker import Beaker

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGES = ("jupyterlab", "ipykernel", "ipywidgets", "anywidget", "websockets", "pydantic", "plotly", "pandas", "nbval")
TOOLCHAINS = {
    "node": ("JavaScript, TypeScript", "apt install nodejs, or pip install 'loopai-lab[languages]'"),
    "go": ("Go", "apt install golang-go, or pip install 'loopai-lab[languages]'"),
    "dotnet": ("C#", "install the .NET SDK, or apt install mono-mcs"),
}


def examine(say: Callable[[str], None]) -> int:
    """Look at everything and say it line by line; return 0 when a program runs, 1 when it does not."""
    say(f"loopai_lab {__version__} on Python {platform.python_version()}, {platform.platform()}")
    say(f"  interpreter  {sys.executable}")
    for name in PACKAGES:
        say(f"  {name:<12} {_version(name)}")
    say("toolchains")
    for program, (languages, remedy) in TOOLCHAINS.items():
        found = shutil.which(program)
        say(f"  {program:<12} {found or f'missing, for {languages}: {remedy}'}")
    return _run_one(say)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"MISSING: pip install {name}"


def _run_one(say: Callable[[str], None]) -> int:
    """Run a program through server, pool and sandbox: the proof that counts."""
    say("self-test")
    try:
        with Lab(max_size=1) as lab:
            result = lab.run(Program(code="result = input_data + 1"), [41], progress=False)
            source = lab.source
            assert isinstance(source, Beaker)  # noqa: S101 - the provider of this lab
            say(f"  sandbox      {source.capabilities.sandbox}")
            if source.capabilities.sandbox_weakness:
                say(f"               not stronger, because {source.capabilities.sandbox_weakness}")
    except LoopaiLabError as error:
        say(f"  python       FAILED: {type(error).__name__}: {error}")
        return 1
    item = result.items[0]
    if item.output != 42:  # noqa: PLR2004 - 41 + 1
        say(f"  python       FAILED: {item.status}: {item.error_message}")
        return 1
    say(f"  python       ok: 41 + 1 = {item.output} in {item.latency_ms:.0f} ms, session included")
    return 0
