"""A notebook in a browser, in the words of the person who uses it: run all, press Run, read the status, see a curve."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.browser.jupyterlab import Server

PATIENCE_MS = 60_000

_EXECUTE = """async code => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const future = kernel.requestExecute({code, store_history: false});
    let text = "";
    future.onIOPub = message => { text += message.content.text ?? message.content.evalue ?? ""; };
    await future.done;
    return text;
}"""
_KERNEL_STATUS = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status"
_ERRORS = """() => {
    const notebook = window.jupyterapp.shell.currentWidget.model.sharedModel;
    const cells = notebook.cells.filter(cell => cell.cell_type == "code");
    const errors = cells.flatMap(cell => cell.outputs).filter(output => output.output_type == "error");
    return errors.length || cells.at(-1).outputs.length ? errors.map(error => [error.ename, error.evalue]) : null;
}"""
# Before its first drawing a plot has no traces, or none yet.
_POINTS = """() => {
    const plot = document.querySelector(".loopai-workbench .js-plotly-plot");
    return Object.fromEntries((plot?.data ?? []).map(trace => [trace.name, trace.x?.length ?? 0]));
}"""
_BOTH_GREW = f"""([levels, items]) => {{
    const points = ({_POINTS})();
    const drawn = points["warm ok"] + points["cold ok"] + points["warm failed"] + points["cold failed"];
    return points["active"] > levels && drawn > items;
}}"""


class NotebookPage:
    """Drive one notebook in JupyterLab.

    Args:
        page: the browser's tab.
        pictures: where screenshots go.
    """

    def __init__(self, page: Page, pictures: Path) -> None:
        self.page = page
        self.workbench: Locator = page.locator(".loopai-workbench")
        self.run_button = self.workbench.get_by_role("button", name="Run")
        self.stop_button = self.workbench.get_by_role("button", name="Stop")
        self._pictures = pictures

    def open(self, server: Server, notebook: str) -> None:
        self.page.goto(server.page(notebook))
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")
        self.wait_for_kernel("idle")

    def run_all_cells(self) -> None:
        """Run every cell, and wait until the last one shows the workbench with its charts."""
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
        errors = self.page.wait_for_function(_ERRORS).json_value()
        assert errors == []
        self.workbench.locator(".js-plotly-plot .main-svg").first.wait_for()
        self.workbench.scroll_into_view_if_needed()

    def wait_for_kernel(self, status: str) -> None:
        self.page.wait_for_function(f"wanted => ({_KERNEL_STATUS})() === wanted", arg=status)

    def kernel_status(self) -> str:
        status: str = self.page.evaluate(_KERNEL_STATUS)
        return status

    def choose(self, task: str, concurrency: int) -> None:
        self.workbench.get_by_role("combobox", name="Task").select_option(task)
        readout = self.workbench.locator(".widget-readout")
        readout.click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.type(str(concurrency))
        self.page.keyboard.press("Enter")

    def points(self) -> dict[str, int]:
        """Return how many points each trace has that the browser draws."""
        found: dict[str, int] = self.page.evaluate(_POINTS)
        return found

    def items_drawn(self) -> int:
        return sum(count for name, count in self.points().items() if name.endswith((" ok", " failed")))

    def wait_until_both_grew(self, *, levels: int, items: int) -> None:
        """Wait until both charts have more points than these."""
        self.page.wait_for_function(_BOTH_GREW, arg=[levels, items])

    def wait_for_status(self, words: str) -> str:
        """Wait until the status line has these words (a regular expression), and return all of it."""
        line = self.workbench.locator("div", has=self.page.locator("progress")).filter(has_text=re.compile(words)).last
        line.wait_for()
        return line.inner_text()

    def execute(self, code: str) -> str:
        """Run code in the notebook's kernel, beside its cells, and return what it printed."""
        printed: str = self.page.evaluate(_EXECUTE, code)
        return printed.strip()

    def post(self, code: str) -> None:
        """Send code to the kernel and do not wait for it."""
        self.page.evaluate(
            "code => { window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({code}); }",
            code,
        )

    def picture(self, name: str) -> Path:
        path = self._pictures / f"{name}.png"
        self.page.screenshot(path=path)
        return path


def folder_for_pictures(otherwise: Path) -> Path:
    """Return where screenshots go: the folder that the environment names, or a temporary one."""
    folder = Path(os.environ.get("LOOPAI_LAB_SCREENSHOTS") or otherwise)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def launch_options() -> dict[str, Any]:
    """Return how to start Chromium as root in a container, without a graphics card and without phoning home."""
    quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
    return {"args": ["--no-sandbox", "--disable-component-update", "--disable-lcd-text", *quiet]}
