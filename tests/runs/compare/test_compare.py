"""``algd compare`` from the command line."""

import json
import re
import sys
from html.parser import HTMLParser

import pytest

from tests.runs.compare.tables import make_table, write_sweep
from tests.runs.support import files


@pytest.fixture
def sweep(tmp_path):
    return write_sweep(tmp_path / "sweep", make_table(algorithms=("algd", "cal"), seeds=3))


def test_the_table_says_what_is_best_and_nothing_is_written(algd, sweep):
    before = files(sweep.parent)
    code, out, err = algd("compare", sweep)
    assert (code, err) == (0, "")
    assert files(sweep.parent) == before
    assert re.search(r"\| algd +\| +3 \| +\d+\.\d\d \[.+\] .*\| +best \|", out)
    assert "EnvA: best feasible configuration: algd" in out
    assert "P(algd returns more than cal) = " in out
    assert "few runs: an interval from 3" in out


def test_json_is_one_object_and_repeats_itself(algd, sweep):
    code, out, err = algd("compare", sweep, "--json")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert answer["runs"] == 6
    assert answer["best"] == [{"env": "EnvA", "configuration": "algd", "feasible": True}]
    assert answer["files"] == []
    assert algd("compare", sweep, "--json")[1] == out


def test_files_are_written_once(algd, sweep, tmp_path):
    out_dir = tmp_path / "new" / "comparison"
    code, out, err = algd("compare", sweep, "--out", out_dir, "--html")
    assert (code, err) == (0, "")
    before = files(out_dir)
    names = ["curves.png", "profiles.png", "return_against_cost.png"]
    assert set(before) == {*names, "comparison.json", "comparison.html"}
    assert all(before[name].startswith(b"\x89PNG") for name in names)
    assert all(str(out_dir / name) in out for name in before)
    assert json.loads(before["comparison.json"])["runs"] == 6
    code, _, err = algd("compare", sweep, "--out", out_dir)
    assert (code, err.count("\n")) == (2, 1)
    assert "is not empty, allowed is a new or empty folder" in err
    assert files(out_dir) == before


class Tags(HTMLParser):
    """Collects tags, and the addresses that they load."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.loaded = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loaded += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_is_escaped_and_needs_no_network(algd, tmp_path):
    bad = "<script>alert(1)</script><img src=x>"
    folder = write_sweep(
        tmp_path / "sweep", make_table(envs=(f"Env{bad}",), algorithms=("algd", bad))
    )
    plain = write_sweep(tmp_path / "plain", make_table(algorithms=("algd", "cal")))
    pages = []
    for source in (folder, plain):
        out = tmp_path / f"page-{source.name}"
        code, _, err = algd("compare", source, "--out", out, "--html")
        assert (code, err) == (0, "")
        pages.append((out / "comparison.html").read_text())
    evil, good = map(Tags, pages)
    assert evil.tags == good.tags
    # Links within the page alone.
    assert evil.loaded == good.loaded == ["#s0", "#s1"]
    assert "<script>alert" not in pages[0]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in pages[0]


def test_names_that_look_like_markup_are_shown_as_they_are(algd, tmp_path):
    folder = write_sweep(tmp_path, make_table(algorithms=("[red]algd[/red]",)))
    assert "| [red]algd[/red] |" in algd("compare", folder)[1]


def test_missing_plotly_is_told_before_anything_is_written(algd, sweep, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, err = algd("compare", sweep, "--html", "--out", tmp_path / "out")
    assert code == 2
    assert "pip install 'algd-jax[report]'" in err
    assert not (tmp_path / "out").exists()


def test_bad_arguments_are_told_in_one_line(algd, sweep, tmp_path):
    (tmp_path / "file").write_text("")
    for arguments, message in (
        ([], "folders: got none, allowed are sweep directories and run directories"),
        ([tmp_path], "is neither, allowed is a sweep directory"),
        ([sweep, "--html"], "html: needs a folder for the page: add --out FOLDER"),
        ([sweep, "--out", tmp_path / "file"], "is a file, allowed is a new or empty folder"),
        ([sweep, "--out", tmp_path / "file" / "below"], "is no folder that can be written to"),
        (["x" * 300], "cannot be read (File name too long)"),
        ([sweep, "--out", "x" * 300], "cannot be written (File name too long)"),
        ([sweep, "--outt", "x"], "--outt: unknown flag; did you mean --out?"),
    ):
        code, out, err = algd("compare", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err
