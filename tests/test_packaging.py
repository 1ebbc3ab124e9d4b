"""The repository agrees with itself, and importing the package costs nothing and starts nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

import loopai_lab

RENAMED_BY_CONDA: dict[str, str] = {}
"""A distribution on PyPI, and its name on conda-forge where that is another one."""

TOOLCHAINS = {"dotnet-sdk", "go", "nodejs"}
TOP_LEVEL = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "environment.yml",
    "loopai_lab",
    "notebooks",
    "pyproject.toml",
    "tests",
}
# Written so that no pattern matches its own source.
INDEX_ADDRESS = re.compile(
    r"""--(extra-)?index-ur[l] | (PIP|UV)_[A-Z_]*INDE[X] | index-ur[l]\s*= | find-link[s]
      | pypi[.]org/(simple|pypi) | pythonhosted[.]org | registry[.](npmjs|yarnpkg)[.] | npm_config_registr[y]
      | conda[.]anaconda[.]org | repo[.]anaconda[.]com | deb[.]debian[.]org
      | proxy[.]golang[.]org | api[.]nuget[.]org""",
    re.VERBOSE | re.IGNORECASE,
)
LOCK_FILES = re.compile(r"(.*[.]lock|.*-lock[.](json|ya?ml)|pylock.*[.]toml|constraints.*[.]txt)$")


@pytest.fixture(scope="module")
def tracked(repository: Path) -> list[Path]:
    """Return the tracked files, relative to the repository; without git, all that was not made here."""
    if (repository / ".git").exists() and shutil.which("git"):
        # The checkout may belong to another user, as in a container.
        git = ["git", "-c", f"safe.directory={repository}", "ls-files", "-z"]
        listing = subprocess.run(git, cwd=repository, check=True, capture_output=True, text=True).stdout
        return [Path(name) for name in listing.split("\0") if name and (repository / name).is_file()]
    made = re.compile(
        r"(\.git|\.venv|\.hypothesis|\..*_cache|build|dist|test-results)/|.*__pycache__/|[^/]*\.(html|sqlite.*)$"
    )
    files = (path.relative_to(repository) for path in repository.rglob("*") if path.is_file())
    return [path for path in files if not made.match(path.as_posix())]


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


@pytest.fixture(scope="module")
def conda(repository: Path) -> dict[str, Requirement]:
    environment = yaml.safe_load((repository / "environment.yml").read_text(encoding="utf-8"))
    entries = [Requirement(entry) for entry in environment["dependencies"] if isinstance(entry, str)]
    return {entry.name: entry for entry in entries}


def test_conda_and_pip_ask_for_the_same_floors(project: dict[str, Any], conda: dict[str, Requirement]) -> None:
    wanted = [Requirement(text) for text in project["dependencies"]]
    floors = {RENAMED_BY_CONDA.get(each.name, each.name): str(each.specifier) for each in wanted}
    floors["python"] = project["requires-python"]
    given = {name: str(entry.specifier) for name, entry in conda.items() if name not in TOOLCHAINS | {"pip"}}
    assert given == floors


def test_every_dependency_has_a_floor_and_no_ceiling(project: dict[str, Any]) -> None:
    for requirement in map(Requirement, project["dependencies"]):
        assert [part.operator for part in requirement.specifier] == [">="], requirement


def test_the_conda_environment_brings_the_toolchains_and_this_package(
    repository: Path, conda: dict[str, Requirement]
) -> None:
    assert conda.keys() >= TOOLCHAINS
    text = (repository / "environment.yml").read_text(encoding="utf-8")
    assert {"pip": ["-e ."]} in yaml.safe_load(text)["dependencies"]


def test_no_tracked_file_names_a_package_index(repository: Path, tracked: list[Path]) -> None:
    found = []
    for path in tracked:
        text = (repository / path).read_text(encoding="utf-8", errors="replace")
        found += [f"{path}: {match.group()}" for match in INDEX_ADDRESS.finditer(text)]
    assert found == []


def test_there_is_no_lock_file(tracked: list[Path]) -> None:
    assert [path for path in tracked if LOCK_FILES.match(path.name)] == []


def test_the_top_level_holds_only_what_belongs_there(tracked: list[Path]) -> None:
    names = {path.parts[0] for path in tracked}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_the_version_has_one_source() -> None:
    assert loopai_lab.__version__ == version("loopai-lab")


def test_imports_point_one_way(repository: Path) -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache", "--no-logo"], cwd=repository, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_notebooks_are_checked_in_without_what_a_run_leaves(repository: Path) -> None:
    strip = [sys.executable, ".ci/strip_notebooks.py", "--check", "notebooks"]
    done = subprocess.run(strip, cwd=repository, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_the_package_loads_nothing_heavy_and_starts_no_thread() -> None:
    heavy = ["IPython", "ipywidgets", "nest_asyncio", "nest_asyncio2", "numpy", "pandas", "plotly", "pydantic"]
    code = (
        "import json, sys, threading, loopai_lab\n"
        f"loaded = [name for name in {heavy} if name in sys.modules]\n"
        "print(json.dumps([loaded, threading.active_count()]))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == [[], 1]
