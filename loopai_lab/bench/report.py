"""The one place of the bench that draws: sections and charts become an HTML file with the drawing library inside.

`write_report` is generic; `run_sections` says what there is to see in runs. plotly is loaded when a report is written,
never before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopai_lab.bench.charts import Chart, RunView
from loopai_lab.bench.page import Mark, Noted, Section, Source, Table, Tile, render_page
from loopai_lab.bench.runs import run_sections

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = [
    "Mark",
    "Noted",
    "RunView",
    "Section",
    "Source",
    "Table",
    "Tile",
    "run_sections",
    "to_figure",
    "write_report",
]

FONT = "system-ui, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif"


def write_report(path: str | Path, title: str, sections: Sequence[Section], *, subtitle: str = "") -> Path:
    """Write a report that opens anywhere, without a network, and return its path.

    Args:
        path: the file; its folder must be there.
        title: of the page.
        sections: in order; figures may be plotly figures or the dictionaries they are made of.
        subtitle: under the title, such as what ran where.
    """
    from plotly.offline import get_plotlyjs

    charts = {
        number: [_figure_html(figure, f"chart-{number}-{place}") for place, figure in enumerate(section.figures)]
        for number, section in enumerate(sections)
    }
    script = f"<script>{get_plotlyjs()}</script>" if any(charts.values()) else ""
    page = render_page(title, sections, subtitle=subtitle, head_html=script, charts_html=charts)
    target = Path(path)
    # A program's text may hold what UTF-8 cannot say (lone surrogates): it is shown escaped, and never stops a report.
    target.write_text(page, encoding="utf-8", errors="backslashreplace")
    return target


def to_figure(chart: Chart | go.Figure) -> go.Figure:
    """Return a chart as a plotly figure, checked and in our look."""
    import plotly.graph_objects as go

    if isinstance(chart, go.Figure):
        return chart
    figure = go.Figure(chart)
    figure.update_layout(template="plotly_white", font={"family": FONT, "size": 13}, hoverlabel={"align": "left"})
    figure.update_layout(
        title={"font": {"size": 15}, "x": 0, "xref": "paper", "y": 0.98, "yref": "container", "yanchor": "top"}
    )
    figure.update_layout(margin={"l": 70, "r": 40, "t": 58, "b": 60}, legend={"itemsizing": "constant"})
    figure.update_xaxes(title_font_size=13).update_yaxes(title_font_size=13, ticksuffix=" ")
    return figure


def _figure_html(chart: Any, div_id: str) -> str:
    from plotly.io import to_html

    options = {"displaylogo": False, "responsive": True}
    html: str = to_html(to_figure(chart), include_plotlyjs=False, full_html=False, div_id=div_id, config=options)
    return html
