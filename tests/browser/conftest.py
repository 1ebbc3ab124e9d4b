"""What browser tests need: a JupyterLab, a Chromium, a page. Without one of them they skip and say which."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.jupyterlab import Server, jupyterlab
from tests.browser.notebook_page import PATIENCE_MS, NotebookPage, folder_for_pictures, launch_options

if TYPE_CHECKING:
    from playwright.sync_api import Browser

VIEWPORT: Any = {"width": 1600, "height": 1000}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module; Playwright keeps an event loop in this thread, so it must end with the module."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on the path: apt install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, **launch_options())
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=["perCommTarget", "disabled"])
def server(
    request: pytest.FixtureRequest, browser: Browser, tmp_path_factory: pytest.TempPathFactory, repository: Path
) -> Iterator[Server]:
    """A JupyterLab that sends widgets' messages to a subshell of the kernel (its default), and one that does not."""
    del browser  # asked for first, so that no server starts when there is nothing to open it with
    folder = tmp_path_factory.mktemp(f"jupyterlab-{request.param}")
    settings = {"@jupyterlab/apputils-extension:kernels-settings": {"commsOverSubshells": request.param}}
    with jupyterlab(folder, repository / "notebooks", settings) as server:
        yield server


@pytest.fixture(scope="module")
def quickstart(browser: Browser, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotebookPage]:
    """The first notebook, run from top to bottom; each test finds its workbench at rest and leaves it so."""
    pictures = folder_for_pictures(tmp_path_factory.mktemp("pictures"))
    with browser.new_context(viewport=VIEWPORT) as context:
        context.set_default_timeout(PATIENCE_MS)
        notebook = NotebookPage(context.new_page(), pictures)
        notebook.open(server, "01_quickstart.ipynb")
        notebook.run_all_cells()
        yield notebook


@pytest.fixture
def workbench(quickstart: NotebookPage, request: pytest.FixtureRequest) -> Iterator[NotebookPage]:
    """The workbench on that page; whatever becomes of the test, a picture shows what it saw last."""
    yield quickstart
    quickstart.picture(request.node.name)
