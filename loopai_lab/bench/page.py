"""A report as one HTML page that needs nothing else: sections, tables and tiles, all texts escaped.

Drawing is not done here: charts come in as finished HTML. The page forbids itself every connection by a content
security policy, so that opening a report never tells anybody, and shows the same in ten years.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from loopai_lab.bench.measure import figure

Tone = Literal["good", "bad", "plain"]
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)

STYLE = """
:root { --ink: #1b2430; --soft: #5b6776; --line: #dde3ea; --paper: #fff; --ground: #f4f6f9; --blue: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto,
  "Liberation Sans", sans-serif; }
header { background: #14283c; color: #fff; padding: 28px max(24px, calc(50vw - 600px)); }
header h1 { margin: 0 0 4px; font-size: 26px; font-weight: 650; }
header p { margin: 0; color: #b9c7d6; max-width: 80ch; }
nav { margin-top: 14px; display: flex; flex-wrap: wrap; gap: 6px 18px; font-size: 14px; }
nav a { color: #9fd0f0; text-decoration: none; }
nav a:hover { text-decoration: underline; }
main { max-width: 1200px; margin: 24px auto; padding: 0 24px; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 20px 24px;
  margin-bottom: 22px; }
h2 { margin: 0 0 8px; font-size: 19px; font-weight: 650; }
section > p { margin: 0 0 14px; color: var(--soft); max-width: 95ch; white-space: pre-line; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px; margin: 12px 0 16px; }
.tile { border: 1px solid var(--line); border-left: 4px solid var(--blue); border-radius: 8px; padding: 10px 14px; }
.tile.good { border-left-color: #00825f; } .tile.bad { border-left-color: #c8401e; }
.tile b { display: block; font-size: 23px; font-weight: 650; font-variant-numeric: tabular-nums; overflow-wrap:
  anywhere; }
.tile span { color: var(--soft); font-size: 13px; display: block; }
.scroll { overflow-x: auto; margin: 10px 0 14px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
caption { text-align: left; color: var(--soft); padding-bottom: 6px; }
th { text-align: left; font-weight: 600; color: var(--soft); border-bottom: 2px solid var(--line); padding: 6px 8px;
  vertical-align: bottom; }
td { border-bottom: 1px solid var(--line); padding: 6px 8px; vertical-align: top; white-space: pre-line;
  overflow-wrap: break-word; }
tr:last-child td { border-bottom: 0; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td small { color: var(--soft); font-size: 12.5px; }
pre { margin: 0; max-height: 9.5em; overflow: auto; white-space: pre; max-width: 840px; font: 12.5px/1.4 ui-monospace,
  "DejaVu Sans Mono", monospace; }
.line { padding-left: 1em; text-indent: -1em; }
.chip { display: inline-block; border-radius: 99px; padding: 0 10px; font-size: 13px; font-weight: 600; background:
  #e8edf3; white-space: nowrap; }
.chip.good { background: #d5f0e6; color: #005a41; } .chip.bad { background: #fbe0d8; color: #98290d; }
.chart { margin: 8px -8px 4px; }
footer { max-width: 1200px; margin: 0 auto 40px; padding: 0 24px; color: var(--soft); font-size: 13px; }
@media print { section { break-inside: avoid; } }
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """A cell that is a verdict: its words are always there, its colour only helps."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Source:
    """A cell that is text of a program, such as a traceback: shown as it is, and scrolled if long."""

    text: str


@dataclass(frozen=True, slots=True)
class Noted:
    """A cell with a small note under it."""

    text: object
    note: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure that matters, large."""

    value: object
    label: str
    note: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of cells: numbers (set right), words, a tuple of lines, `Mark`, `Source`, `Noted`, or None for nothing.

    Args:
        columns: their headings.
        rows: as many cells each.
        caption: what it shows.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of a report; everything in it but figures is plain text, which the page escapes.

    Args:
        heading: what it is about.
        text: what the reader should know; line breaks are kept.
        tiles: figures that matter.
        tables: likewise in order.
        figures: charts: plotly figures, or the same as dictionaries.
    """

    heading: str
    text: str = ""
    tiles: Sequence[Tile] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Any] = ()


def render_page(
    title: str, sections: Sequence[Section], *, subtitle: str, head_html: str, charts_html: Mapping[int, Sequence[str]]
) -> str:
    """Return the whole page.

    Args:
        title: of the page.
        sections: in order.
        subtitle: under the title.
        head_html: trusted HTML for the head: the script that draws.
        charts_html: the charts of each section by its number, as trusted HTML.
    """
    links = "".join(f'<a href="#{_anchor(n, part)}">{escape(part.heading)}</a>' for n, part in enumerate(sections))
    body = "\n".join(_section(n, part, charts_html.get(n, ())) for n, part in enumerate(sections))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n{head_html}\n</head>\n<body>\n"
        f"<header><h1>{escape(title)}</h1><p>{escape(subtitle)}</p><nav>{links}</nav></header>\n"
        f"<main>\n{body}\n</main>\n<footer>This page is complete in itself and connects to nothing.</footer>\n"
        "</body>\n</html>\n"
    )


def escape(value: object) -> str:
    """Return a value as HTML text."""
    return html.escape(str(value))


def _anchor(number: int, section: Section) -> str:
    return f"{number}-{re.sub('[^a-z0-9]+', '-', section.heading.lower()).strip('-')}"


def _section(number: int, section: Section, charts: Sequence[str]) -> str:
    parts = [f"<h2>{escape(section.heading)}</h2>"]
    if section.text:
        parts.append(f"<p>{escape(section.text)}</p>")
    if section.tiles:
        parts.append(f'<div class="tiles">{"".join(map(_tile, section.tiles))}</div>')
    parts += [_table(table) for table in section.tables]
    parts += [f'<div class="chart">{chart}</div>' for chart in charts]
    return f'<section id="{_anchor(number, section)}">\n' + "\n".join(parts) + "\n</section>"


def _tile(tile: Tile) -> str:
    note = f"<span>{escape(tile.note)}</span>" if tile.note else ""
    return f'<div class="tile {tile.tone}"><span>{escape(tile.label)}</span><b>{_words(tile.value)}</b>{note}</div>'


def _table(table: Table) -> str:
    numeric = [_is_number_column(table, place) for place in range(len(table.columns))]
    heads = "".join(
        f"<th{_class(right)}>{escape(name)}</th>" for name, right in zip(table.columns, numeric, strict=True)
    )
    rows = "".join(_row(row, numeric) for row in table.rows)
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    return f'<div class="scroll"><table>{caption}<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'


def _row(row: Sequence[object], numeric: Sequence[bool]) -> str:
    cells = (f"<td{_class(right)}>{_cell(cell)}</td>" for cell, right in zip(row, numeric, strict=True))
    return f"<tr>{''.join(cells)}</tr>\n"


def _class(right: bool) -> str:  # noqa: FBT001 - one private flag
    return ' class="number"' if right else ""


def _is_number_column(table: Table, place: int) -> bool:
    cells = [row[place] for row in table.rows]
    given = [cell.text if isinstance(cell, Noted) else cell for cell in cells if cell is not None]
    return bool(given) and all(isinstance(cell, int | float) for cell in given)


def _cell(cell: object) -> str:
    match cell:
        case Mark(text, tone):
            return f'<span class="chip {tone}">{escape(text)}</span>'
        case Source(text):
            return f"<pre>{escape(text)}</pre>"
        case Noted(text, note):
            return f"{_cell(text)}<br><small>{escape(note)}</small>"
        case tuple():
            return "".join(f'<div class="line">{escape(line)}</div>' for line in cell)
    return _words(cell)


def _words(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return figure(value)
    return escape(f"{value:,}" if isinstance(value, int) else value)
