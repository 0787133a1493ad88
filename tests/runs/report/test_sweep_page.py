"""The page of a sweep: what is on it, whatever its tables hold."""

import html
import re

import pytest

from algd_jax.runs.compare.reading import read_runs
from algd_jax.runs.compare.summary import compare
from algd_jax.runs.compare.words import cells
from algd_jax.runs.report.report import save_report
from algd_jax.runs.sweep.directory import SweepDirectory
from algd_jax.runs.sweep.plan import Plan, make_trials
from tests.runs.compare.tables import make_table, write_sweep
from tests.runs.support import files, tiny_config

HOSTILE = "<script>alert(1)</script><img src=x>"


def page(folder):
    return save_report(folder, folder.parent / f"{folder.name}.html").read_text()


def sections(text):
    """Body of each section, by its heading."""
    return dict(re.findall(r"<h2>(.*?)</h2>(.*?)</section>", text, flags=re.DOTALL))


def rows_of(table):
    """Texts of the cells of an HTML table, without its heads."""
    rows = re.findall(r"<tr>(<td.*?)</tr>", table)
    return [[html.unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", r)] for r in rows]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two algorithms at two ρ with three seeds, of which one trial failed and one was pruned."""
    table = make_table(algorithms=("algd", "cal"), rhos=(0.5, 1.0), seeds=3)
    folder = write_sweep(tmp_path_factory.mktemp("report") / "sweep", table)
    ends = table.groupby("trial").tail(1).drop(columns=["lam", "wall_time"]).set_index("trial")
    ends[["pruned_at", "failure"]] = ""
    ends.loc["t003", ["status", "failure"]] = ["failed", "reward is NaN"]
    ends.loc["t004", ["status", "pruned_at"]] = ["pruned", "4000"]
    ends.reset_index().to_csv(folder / "trials.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def written(sweep):
    return page(sweep)


def test_the_comparison_is_that_of_algd_compare(sweep, written):
    found = sections(written)
    assert list(found) == ["What was tried", "Configurations", "EnvA", "Trials", "Not finished"]
    rows = compare(read_runs([sweep])).rows["EnvA"]
    assert rows_of(found["Configurations"]) == [cells(row, row is rows[0]) for row in rows]
    assert f"EnvA: best feasible configuration: {rows[0].configuration}" in written
    assert found["EnvA"].count('class="plotly-graph-div"') == 2
    assert "feasible Pareto front" in found["EnvA"]


def test_what_was_tried_is_listed_with_its_values(written):
    assert rows_of(sections(written)["What was tried"]) == [
        ["env", "1", "EnvA"],
        ["algorithm", "2", "algd, cal"],
        ["rho", "2", "0.5, 1"],
        ["cost_limit", "1", "10"],
        ["seed", "3", "0, 1, 2"],
    ]


def test_every_trial_is_there_and_what_did_not_finish_is_named(written):
    assert "10 of 12 trials done, 1 failed, 1 pruned." in written
    found = sections(written)
    assert [row[0] for row in rows_of(found["Trials"])] == [f"t{n:03d}" for n in range(12)]
    assert "compared by the evaluations of the last epoch" in found["Trials"]
    assert "All: env EnvA, step 12000, cost_limit 10" in found["Trials"]
    assert rows_of(found["Not finished"]) == [
        ["t003", "failed", "", "reward is NaN"],
        ["t004", "pruned", "4000", ""],
    ]


def test_values_are_sorted_as_numbers_and_many_are_not_all_listed(tmp_path):
    table = make_table(rhos=tuple(2.0**n for n in range(-2, 12)), seeds=1)
    shown = rows_of(sections(page(write_sweep(tmp_path / "sweep", table)))["What was tried"])
    assert shown[2] == ["rho", "14", "0.25, 0.5, …, 2048"]


def test_a_sweep_says_where_it_came_from_and_what_its_trials_share(tmp_path):
    trials = make_trials([tiny_config()], [{"rho": 0.5}, {"rho": 2.0}], seeds=2)
    directory = SweepDirectory(tmp_path / "sweep")
    directory.create(Plan(tuple(trials), ((0, 1, 2, 3),)), ["algd", HOSTILE])
    write_sweep(directory.path, make_table())
    before = files(directory.path)
    found = sections(page(directory.path))
    assert files(directory.path) == before
    assert ["hyper.kappa", "1.0"] in rows_of(found["Configuration"])
    assert not {"hyper.rho", "seed"} & {row[0] for row in rows_of(found["Configuration"])}
    assert ["command", f"algd {HOSTILE}"] in rows_of(found["Circumstances"])


def test_every_text_of_a_table_is_escaped(tmp_path):
    table = make_table(envs=(HOSTILE,), algorithms=("algd", HOSTILE), seeds=1)
    table = table.rename(columns={"rho": HOSTILE}).assign(note=HOSTILE)
    table["trial"] += HOSTILE
    folder = write_sweep(tmp_path / "sweep", table)
    for _ in range(2):  # Of results.csv, and of trials.csv.
        text = page(folder)
        assert html.escape(HOSTILE) in text
        assert "<script>alert" not in text
        assert "<img" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
        ends = table.groupby("trial").tail(1).assign(status=HOSTILE, failure="\x1b" + HOSTILE)
        ends.to_csv(folder / "trials.csv", index=False)
        (tmp_path / "sweep.html").unlink()


def test_a_sweep_without_a_finished_trial_shows_its_trials(tmp_path):
    table = make_table().assign(status="running")
    found = sections(page(write_sweep(tmp_path / "sweep", table)))
    assert "no finished run to compare (5 unfinished)" in found["Configurations"]
    assert len(rows_of(found["Trials"])) == 5


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("results.csv", "", "results.csv: cannot be read as a table: No columns to parse"),
        ("results.csv", "a,b\n1,2\n", "results.csv: missing column 'trial'"),
        ("results.csv", 'trial,env\n"', "results.csv: cannot be read as a table"),
        ("trials.csv", "a,b\n1,2\n", "trials.csv: missing column 'trial'"),
        ("trials.csv", "trial,env,algorithm,seed,status\n", "trials.csv: has no rows"),
        ("trials.csv", "\xff", "trials.csv: cannot be read as a table"),
        ("sweep.json", "[]", "sweep.json: format_version: got None, allowed is 1"),
        ("sweep.json", '{"format_version": 1}', "sweep.json: does not hold the plan of a sweep"),
    ],
)
def test_what_is_no_table_is_one_line(algd, tmp_path, name, content, message):
    folder = write_sweep(tmp_path / "sweep", make_table(seeds=1))
    (folder / name).write_text(content, encoding="latin-1")
    before = files(tmp_path)
    code, out, err = algd("report", folder)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert files(tmp_path) == before


def test_the_page_is_written_once(algd, sweep, tmp_path):
    code, out, err = algd("report", sweep, "--out", tmp_path / "new" / "sweep.html")
    assert (code, out, err) == (0, f"{tmp_path / 'new' / 'sweep.html'}\n", "")
    code, out, err = algd("report", sweep, "--out", tmp_path / "new" / "sweep.html")
    assert (code, out) == (2, "")
    assert err == f"algd: --out: {tmp_path / 'new' / 'sweep.html'} exists, allowed is a new file\n"
