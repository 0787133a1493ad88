"""``algd benchmark`` around the benchmarks, which ``tests/benchmarks`` runs themselves."""

import json

import jax
import pytest

import algd_jax
import benchmarks
from algd_jax import cli
from benchmarks.timing import Spread

ROWS = [
    {"what": "one", "count": 3, "seconds": Spread.of([1.0, 2.0, 3.0]), "share": None},
    {"what": "other", "count": 4000, "seconds": Spread.of([5.0]), "share": 0.25},
]


@pytest.fixture
def measured(monkeypatch):
    """Benchmarks that only note how they are called, and whether programs would be kept."""
    calls = []

    def measure(name, quick=False):
        calls.append((name, quick, jax.config.values["jax_enable_compilation_cache"]))
        if name == "startup":
            raise RuntimeError("it does not start\nreally")
        return ROWS

    monkeypatch.setattr(benchmarks, "measure", measure)
    return calls


def test_tables_and_results(measured, tmp_path, capsys):
    path = tmp_path / "new.json"
    code = cli.main(["benchmark", "update", "env", "--quick", "--json", str(path)])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert measured == [("update", True, False), ("env", True, False)]
    assert jax.config.values["jax_enable_compilation_cache"]
    assert benchmarks.question("update") in out.splitlines()[0]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines()]
    assert cells.count(["what", "count", "seconds", "share"]) == 2
    assert ["one", "3", "2±0.5", "-"] in cells
    assert ["other", "4,000", "5±0", "0.25"] in cells

    report = json.loads(path.read_text())
    assert list(report) == ["circumstances", "results"]
    assert report["circumstances"]["command"][:3] == ["algd", "benchmark", "update"]
    assert list(report["results"]) == ["update", "env"]
    one, other = report["results"]["env"]
    assert one["seconds"] == {
        "n": 3,
        "median": 2.0,
        "lowest": 1.0,
        "lower_quartile": 1.5,
        "upper_quartile": 2.5,
        "highest": 3.0,
    }
    assert (other["what"], other["count"], other["share"]) == ("other", 4000, 0.25)


def test_all_benchmarks_run_by_default_and_what_came_before_a_failure_is_kept(
    measured, tmp_path, capsys
):
    path = tmp_path / "new.json"
    code = cli.main(["benchmark", "--json", str(path)])
    assert (code, capsys.readouterr().err) == (1, "algd: it does not start\n")
    assert [name for name, *_ in measured] == list(benchmarks.NAMES)
    assert list(json.loads(path.read_text())["results"]) == list(benchmarks.NAMES[:-1])
    assert jax.config.values["jax_enable_compilation_cache"]


def test_a_package_without_its_checkout_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(algd_jax, "__file__", str(tmp_path / "algd_jax" / "__init__.py"))
    assert cli.main(["benchmark", "--json", str(tmp_path / "new.json")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("algd: benchmark: the benchmarks are not part of an installed package;")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
