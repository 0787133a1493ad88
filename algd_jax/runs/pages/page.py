"""One HTML page that needs nothing else: it opens without a network, in light and dark."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

_LONG = 40  # Characters: such a text may be broken.


class Section(NamedTuple):
    """A part of a page.

    Attributes:
      title: its heading.
      body: HTML.
    """

    title: str
    body: str


class Verdict(NamedTuple):
    """What a page has to say before all else.

    Attributes:
      text: a sentence.
      is_good: whether that is good news.
    """

    text: str
    is_good: bool


def make_page(title: str, sections: Sequence[Section], verdicts: Sequence[Verdict] = ()) -> bytes:
    """The whole page, Plotly included (about 4.5 MB).

    Args:
      title: text.
      sections: in their order; with links to them if there are several.
      verdicts: below the title.
    """
    from plotly.offline import get_plotlyjs

    links = "".join(f'<a href="#s{i}">{escape(one.title)}</a>' for i, one in enumerate(sections))
    told = "".join(
        f'<p class="{"good" if one.is_good else "bad"}">{escape(one.text)}</p>' for one in verdicts
    )
    parts = "".join(
        f'<section id="s{i}"><h2>{escape(one.title)}</h2>{one.body}</section>\n'
        for i, one in enumerate(sections)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_asset('page.css')}</style><script>{get_plotlyjs()}</script></head><body>"
        f"<h1>{escape(title)}</h1>{told}{f'<nav>{links}</nav>' if len(sections) > 1 else ''}\n"
        f"{parts}<script>{_asset('page.js')}</script></body></html>\n"
    ).encode()


def escape(text: object) -> str:
    """As text of a page, or of an attribute in quotes."""
    return html.escape(str(text))


def note(text: str) -> str:
    """A line of explanation."""
    return f'<p class="note">{escape(text)}</p>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], is_sortable: bool = False) -> str:
    """Texts as a table; columns of numbers stand to the right.

    Args:
      heads: of the columns; empty ones head nothing.
      rows: as many texts each.
      is_sortable: whether the heads sort the rows.
    """
    columns = list(zip(*rows, strict=True)) or [()] * len(heads)
    numeric = [bool(column) and all(map(_is_number, filter(None, column))) for column in columns]

    def head(text: str, is_number: bool) -> str:
        inner = f'<button type="button">{escape(text)}</button>' if is_sortable else escape(text)
        return f'<th scope="col"{_kind("number" if is_number else "")}>{inner}</th>'

    def cell(text: str, is_number: bool) -> str:
        kind = "number" if is_number else "long" if len(text) > _LONG else ""
        return f"<td{_kind(kind)}>{escape(text)}</td>"

    def row(make: Callable[[str, bool], str], texts: Sequence[str]) -> str:
        return f"<tr>{''.join(map(make, texts, numeric))}</tr>"

    top = f"<thead>{row(head, heads)}</thead>" if any(heads) else ""
    body = "".join(row(cell, one) for one in rows)
    kind = _kind("sortable" if is_sortable else "")
    # What scrolls has to be reached by keys too.
    return f'<div class="scroll" tabindex="0"><table{kind}>{top}<tbody>{body}</tbody></table></div>'


def _kind(name: str) -> str:
    """The attribute that CSS and script know an element by."""
    return f' class="{name}"' if name else ""


def folded(summary: str, body: str) -> str:
    """What is shown on a click, or on Enter."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def picture(content: bytes, text: str) -> str:
    """A PNG, with what it shows in words."""
    encoded = base64.b64encode(content).decode()
    return f'<img src="data:image/png;base64,{encoded}" alt="{escape(text)}">'


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ""))
    except ValueError:
        return False
    return True
