"""A report as one HTML page that needs nothing else: it opens without a network."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import plotly.graph_objects as go

_STYLE = """
:root{--ground:#fff;--ink:#1c1e21;--soft:#5c6066;--edge:#d8dade;--good:#1d7a3e;--bad:#b3261e}
@media (prefers-color-scheme:dark){
:root{--ground:#15171a;--ink:#e6e7e9;--soft:#a0a4aa;--edge:#3a3d42;--good:#5fc98a;--bad:#ff8a80}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;background:var(--ground);color:var(--ink);
max-width:1100px;margin:0 auto;padding:1rem}
h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .3rem}
a{color:inherit}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.5rem 0 1rem;color:var(--soft)}
p.note{color:var(--soft);margin:.2rem 0}.good{color:var(--good)}.bad{color:var(--bad)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:1rem}
figure{margin:0;min-width:0;overflow:hidden}figcaption{font-weight:600}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.95rem}
td,th{padding:.25rem .8rem;border-bottom:1px solid var(--edge);text-align:left}
td.number{text-align:right;font-variant-numeric:tabular-nums}
summary{cursor:pointer}img{max-width:100%}
.js-plotly-plot .plotly text{fill:var(--ink)!important}
.js-plotly-plot .hoverlayer text{fill:#fff!important}
"""

# A chart is drawn before its neighbours are there, so it does not know its width yet.
_FIT = (
    "<script>addEventListener('load',()=>document.querySelectorAll('.js-plotly-plot')"
    ".forEach(chart=>Plotly.Plots.resize(chart)))</script>"
)


class Section(NamedTuple):
    """A part of the page.

    Attributes:
      title: its heading.
      body: HTML.
    """

    title: str
    body: str


def make_page(title: str, verdict: str, is_good: bool, sections: Sequence[Section]) -> bytes:
    """The whole page, Plotly included (about 4.5 MB).

    Args:
      title, verdict: texts.
      is_good: whether the verdict is good news.
      sections: in their order.
    """
    from plotly.offline import get_plotlyjs

    links = "".join(f'<a href="#s{i}">{_text(one.title)}</a>' for i, one in enumerate(sections))
    parts = "".join(
        f'<section id="s{i}"><h2>{_text(one.title)}</h2>{one.body}</section>\n'
        for i, one in enumerate(sections)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{_text(title)}</title>"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script>{_FIT}</head><body>"
        f"<h1>{_text(title)}</h1>"
        f'<p class="{"good" if is_good else "bad"}">{_text(verdict)}</p><nav>{links}</nav>\n'
        f"{parts}</body></html>\n"
    ).encode()


def charts_html(figures: Mapping[str, go.Figure]) -> str:
    """Charts, by title, side by side where there is room."""
    parts: list[str] = []
    for title, figure in figures.items():
        chart = figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            config={"responsive": True, "displayModeBar": False},
            auto_play=False,
        )
        parts.append(f"<figure><figcaption>{_text(title)}</figcaption>{chart}</figure>")
    return f'<div class="charts">{"".join(parts)}</div>'


def note(text: str) -> str:
    """A line of explanation."""
    return f'<p class="note">{_text(text)}</p>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Texts as a table; what looks like a number stands to the right."""

    def cell(text: str) -> str:
        kind = ' class="number"' if _is_number(text) else ""
        return f"<td{kind}>{_text(text)}</td>"

    head = "".join(f"<th>{_text(text)}</th>" for text in heads)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def folded(summary: str, body: str) -> str:
    """What is shown on a click, or on Enter."""
    return f"<details><summary>{_text(summary)}</summary>{body}</details>"


def picture(path: Path, text: str) -> str:
    """A PNG, with what it shows in words."""
    content = base64.b64encode(path.read_bytes()).decode()
    return f'<img src="data:image/png;base64,{content}" alt="{_text(text)}">'


def _text(text: str) -> str:
    return html.escape(str(text))


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ""))
    except ValueError:
        return False
    return True
