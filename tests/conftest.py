"""What all tests share: the event loop they run on, and what CI thinks of a skipped test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ALLOWED_SKIPS: dict[str, str] = {
    # "tests/browser/": "why the CI machine cannot run it",
}
"""Start of a test's id, and the reason why it may be skipped in CI. Everywhere else a skip is reported and no more."""

# Toolchains may come as wheels: their programs lie beside this interpreter, and its folder need not be on PATH.
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The websockets library speaks asyncio only, and so do the parts built on it."""
    return "asyncio"


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).parent.parent


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, turn every skip that is not listed into an error, before pytest writes its summary."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("LOOPAI_LAB_CI") or reporter is None:
        return
    skipped: list[pytest.TestReport | pytest.CollectReport] = reporter.stats.get("skipped", [])
    unlisted = [report for report in skipped if not report.nodeid.startswith(tuple(ALLOWED_SKIPS))]
    if not unlisted:
        return
    for report in unlisted:
        skipped.remove(report)
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = (
            f"{report.nodeid} was skipped, and in CI that is a failure.\n{reason}\n"
            "Install what it needs in .ci/run, or list it with the reason in ALLOWED_SKIPS, in tests/conftest.py."
        )
        reporter.stats.setdefault("error", []).append(report)
    session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many random schedules to run, or which one."""
    parser.addoption("--schedules", type=int, default=300, help="how many random pool schedules to run")
    parser.addoption("--schedule-seed", type=int, default=None, help="run this one schedule only")
