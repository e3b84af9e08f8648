"""One HTML file that shows a run, an ablation or a sweep, and asks nothing of the network.

Here is the document: sections of escaped text and tables, and one packed block with the figures of
all charts and of the map, which page.js draws by plotly.js. Both are gzip and Base64, so that
nothing of a user's files can end a script, and the library takes 2 MB instead of 5. What the
sections say is for page_run, page_ablation and page_sweep.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape, unescape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodejepa_ext.files import atomic
from nodejepa_ext.plots.style import Notice

if TYPE_CHECKING:
    from rich.table import Table

Chart = dict[str, Any]  # {"data", "layout"}, as plotly.js takes them
MOST_BYTES = 10_000_000  # of a page, beyond which some mail servers refuse it
LONG = 24  # characters of a fact that fit beside others
POLICY = (  # of the browser: no request is ever made; plotly.js compiles its shaders' calls
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; worker-src blob:; "
    "script-src 'unsafe-inline' 'unsafe-eval'"
)
DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="nodejepa-ext page">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{subtitle}</p>
<nav>{links}</nav>
</header>
<main>
<p id="trouble" role="alert" hidden></p>
<noscript><p>The charts and the map need JavaScript; the tables do not.</p></noscript>
{body}
</main>
<footer>{footer}</footer>
<script type="text/plain" id="payload">{payload}</script>
<script type="text/plain" id="plotly">{plotly}</script>
<script>
{script}</script>
</body>
</html>
"""


@dataclass
class Page:
    """What is on the page, section by section, from the top down."""

    title: str
    subtitle: str
    sections: list[tuple[str, list[str]]] = field(default_factory=list)  # title, HTML
    charts: list[Chart] = field(default_factory=list)
    nodes: dict[str, Any] | None = None  # of the map, as `page_map.packed`

    def section(self, title: str, *parts: str) -> None:
        """parts: HTML, escaped already; those that are empty are left out."""
        self.sections.append((title, [part for part in parts if part]))

    def chart(self, chart: Chart, height: int = 260) -> str:
        """The HTML of where page.js draws it; height in pixels."""
        self.charts.append(chart)
        name = len(self.charts) - 1
        said = escape(unescape(chart["layout"]["title"]["text"]))
        look = f'class="chart" role="img" aria-label="{said}" style="height:{height}px"'
        return f'<div {look} data-chart="{name}"></div>'

    def html(self) -> str:
        """The whole file."""
        from plotly.offline import get_plotlyjs, get_plotlyjs_version

        titles = [title for title, _ in self.sections]
        body = [
            f'<section id="s{i}">\n<h2>{escape(title)}</h2>\n' + "\n".join(parts) + "\n</section>"
            for i, (title, parts) in enumerate(self.sections)
        ]
        links = [f'<a href="#s{i}">{escape(title)}</a>' for i, title in enumerate(titles)]
        payload = json.dumps({"charts": finite(self.charts), "nodes": self.nodes})
        own = files("nodejepa_ext.plots")
        return DOCUMENT.format(
            policy=POLICY,
            title=escape(self.title),
            subtitle=escape(self.subtitle),
            links=" ".join(links),
            body="\n".join(body),
            footer=f"Made by nodejepa-ext page; plotly.js {get_plotlyjs_version()}, MIT licence.",
            style=(own / "page.css").read_text(),
            script=(own / "page.js").read_text(),
            payload=packed(payload.encode()),
            plotly=packed(get_plotlyjs().encode()),
        )


def packed(payload: bytes) -> str:
    """gzip in Base64: the same for the same bytes, and without a character that HTML minds."""
    return base64.b64encode(gzip.compress(payload, 9, mtime=0)).decode()


def finite(found: Any) -> Any:
    """The same without nan and infinities, which JSON has not: None in their place, a gap."""
    if isinstance(found, dict):
        return {key: finite(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [finite(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>" if text else ""


def bullets(texts: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else ""


def block(text: str) -> str:
    """Kept as it is, in a fixed pitch."""
    return f"<pre>{escape(text)}</pre>"


def folded(summary: str, *parts: str) -> str:
    """Behind a line to click on."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(parts)}</details>"


def grid(parts: Sequence[str]) -> str:
    """Charts beside one another as the width permits."""
    return f'<div class="grid">{"".join(parts)}</div>' if parts else ""


def key(looks: dict[str, dict[str, Any]]) -> str:
    """Which line is whose: name -> "colour" and "dash"."""
    gaps = {"solid": "", "dash": "6 3", "dot": "2 2"}
    items = "".join(
        f'<span><svg width="26" height="8"><path d="M1 4h24" fill="none" stroke="{look["colour"]}"'
        f' stroke-width="3" stroke-dasharray="{gaps[look["dash"]]}"/></svg>{escape(name)}</span>'
        for name, look in looks.items()
    )
    return f'<div class="key">{items}</div>'


def facts(pairs: dict[str, str]) -> str:
    """A cell a fact: its name, its value; a long one has a line of its own."""
    cells = "".join(
        f"<div{' class=long' if len(value) > LONG else ''}>"
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in pairs.items()
    )
    return f'<dl class="facts">{cells}</dl>' if cells else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], title: str, caption: str) -> str:
    """The first column is the rows' names."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    above = f"<h3>{escape(title)}</h3>" if title else ""
    inner = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    below = f'<p class="caption">{escape(caption)}</p>' if caption else ""
    return f'{above}<div class="wide">{inner}</div>{below}'


def printed(parts: Iterable[Table | str]) -> list[str]:
    """What a verb prints to the terminal, as HTML: a part each."""
    return [paragraph(plain(part)) if isinstance(part, str) else of_rich(part) for part in parts]


def of_rich(found: Table) -> str:
    heads = [plain(column.header).replace("\n", " ") for column in found.columns]
    columns = [[plain(cell) for cell in column.cells] for column in found.columns]
    rows = zip(*columns, strict=True)
    return table(heads, rows, plain(found.title), plain(found.caption))


def plain(found: Any) -> str:
    """The text that a terminal would show."""
    from rich.text import Text

    if found is None:
        return ""
    return found.plain if isinstance(found, Text) else Text.from_markup(str(found)).plain


def writable(path: Path, overwrite: bool) -> None:
    """ValueError: not called .html. OSError: there is a file already, or no folder for it."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{path}: expected a name that ends in .html")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder")
    if path.is_dir() or path.exists() and not overwrite:
        raise FileExistsError(f"{path}: is there already; --overwrite replaces a file")


def write(page: Page, path: Path, overwrite: bool, notice: Notice) -> int:
    """The file, whole or not at all -> its bytes. Errors: as in `writable`."""
    writable(path, overwrite)
    text = page.html().encode(errors="replace")  # a folder's name may hold what is no text
    if len(text) > MOST_BYTES:
        notice(f"{path}: {len(text) / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f}; fewer --nodes")
    with atomic(path) as file:
        file.write(text)
    return len(text)
