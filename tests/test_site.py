"""The documentation site: built without a warning, whole, and true to the project's messages."""

import ast
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest

from algd_jax.cli import COMMANDS

ROOT = pathlib.Path(__file__).parents[1]
BUILD = "python -m sphinx -W --keep-going -c docs . site"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("site")
    options = BUILD.split()[1:-1]
    arguments = [sys.executable, *options, "-q", "-d", f"{folder}/.doctrees", str(folder)]
    result = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


class Page(HTMLParser):
    """What a page links to, what it loads, and what can be linked to in it."""

    def __init__(self, file: pathlib.Path):
        super().__init__()
        self.file, self.links, self.loaded, self.anchors = file, [], [], set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.anchors.add(attributes.get("id"))
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        for name in ("src", "href"):
            if tag in ("img", "script", "link", "iframe") and name in attributes:
                self.loaded.append(attributes[name])


@pytest.fixture(scope="module")
def pages(site: pathlib.Path) -> dict[pathlib.Path, Page]:
    return {file: Page(file) for file in site.rglob("*.html")}


def test_every_link_arrives(site: pathlib.Path, pages: dict[pathlib.Path, Page]) -> None:
    lost = []
    for file, page in pages.items():
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            anchors = pages[target].anchors if target in pages else {parts.fragment}
            if not target.is_file() or parts.fragment not in anchors | {"", "#"}:
                lost.append(f"{file.relative_to(site)}: {link}")
    assert len(pages) > 50
    assert not lost


def test_nothing_is_loaded_from_elsewhere(
    site: pathlib.Path, pages: dict[pathlib.Path, Page]
) -> None:
    assert not [url for page in pages.values() for url in page.loaded if urlsplit(url).netloc]
    styles = "".join(file.read_text() for file in site.rglob("*.css"))
    assert not re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", styles)


def test_pages_fit_a_phone_and_search_needs_no_network(site: pathlib.Path, browser) -> None:
    tab = browser.new_page(viewport={"width": 375, "height": 800})
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    written = [file for file in site.rglob("*.html") if "_modules" not in file.parts]
    written.remove(site / "index.html")  # It leads away at once, see below.
    for file in written:
        tab.goto(file.as_uri())
        width = tab.evaluate("() => document.documentElement.scrollWidth")
        assert width <= 375, file.relative_to(site)
    tab.goto((site / "index.html").as_uri())
    tab.wait_for_url("**/docs/index.html")
    tab.goto(f"{(site / 'search.html').as_uri()}?q=multiplier")
    tab.wait_for_selector("#search-results li a")
    tab.close()
    assert complaints == []


def test_every_page_is_in_the_site(pages: dict[pathlib.Path, Page]) -> None:
    written = {file.stem for file in (ROOT / "docs").rglob("*.md")}
    assert written <= {file.stem for file in pages}


def test_every_command_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text()
    assert tuple(re.findall(r"^## `algd (\w+)`$", page, flags=re.MULTILINE)) == COMMANDS


def test_the_command_is_told() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "docs/conf.py"):
        assert BUILD in (ROOT / name).read_text()


def texts() -> Iterator[str]:
    """Every text in the package's code, and the parts of those with values in them."""
    for file in (ROOT / "algd_jax").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            shortest = 1 if isinstance(node, ast.JoinedStr) else 8
            for part in parts:
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield from [part.value] if len(part.value) >= shortest else []


def test_quoted_messages_are_the_projects() -> None:
    """Between the values, which are shown as …, they are made of the texts in the code."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    quoted = re.findall(r"^> `` (?:algd: )?(.*?) ``$", page, flags=re.MULTILINE)
    assert len(quoted) > 15
    known = re.compile(f"(?:{'|'.join(map(re.escape, sorted(set(texts()), key=len)))})*")
    unknown = [
        quote for quote in quoted if not all(known.fullmatch(part) for part in quote.split("…"))
    ]
    assert not unknown
