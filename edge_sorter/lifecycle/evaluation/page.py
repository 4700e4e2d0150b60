"""The frame of every HTML report of this room: one file, no network, light and dark, readable on a phone.

Contract: `page` returns a whole document; the other functions return pieces of it, every text escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

STYLE = Path(__file__).with_name("report.css")


def page(title: str, parts: Iterable[str]) -> str:
    """Return a whole document."""
    style = STYLE.read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{style}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{''.join(parts)}</main></body></html>\n"
    )


def heading(text: str, note: str = "") -> str:
    """Return a heading with a sentence under it."""
    return f"<h2>{escape(text)}</h2>" + (f'<p class="dim">{escape(note)}</p>' if note else "")


def cards(items: Iterable[tuple[str, str, str]]) -> str:
    """Return headline figures: (name, figure, what it is)."""
    body = "".join(
        f'<div class="card"><span class="dim">{escape(name)}</span><b>{escape(value)}</b>'
        f"<small>{escape(note)}</small></div>"
        for name, value, note in items
    )
    return f'<div class="cards">{body}</div>'


def facts(items: Iterable[tuple[str, str]]) -> str:
    """Return what the report is about: (name, text)."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in items) + "</dl>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of plain texts; the first column is the rows' names."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def matrix(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Return a confusion matrix, rows true and columns found, every row shaded by its own sum."""
    top = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    for name, row in zip(names, counts, strict=True):
        total = max(sum(row), 1)
        cells = "".join(
            f'<td style="background:color-mix(in srgb,var(--c0) {round(60 * count / total)}%,transparent)" '
            f'title="{round(100 * count / total)} % of this row">{count}</td>'
            for count in row
        )
        rows.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    return (
        f'<div class="wide"><table><thead><tr><th>true \\ found as</th>{top}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def tiles(items: Iterable[tuple[str, str]]) -> str:
    """Return pictures with captions: (data URI, caption)."""
    body = "".join(
        f'<figure><img alt="{escape(text)}" src="{uri}"><figcaption>{escape(text)}</figcaption></figure>'
        for uri, text in items
    )
    return f'<div class="tiles">{body}</div>'


def pair(left: tuple[str, str], right: tuple[str, str]) -> str:
    """Return two pictures side by side."""
    body = "".join(
        f'<figure><img alt="{escape(text)}" src="{uri}"><figcaption>{escape(text)}</figcaption></figure>'
        for uri, text in (left, right)
    )
    return f'<div class="pair">{body}</div>'
