"""Whatever stands in the table of a sweep: strict JSON, or one clear line."""

import io
import json
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from algd_jax.errors import ConfigError
from algd_jax.runs.compare.reading import read_runs
from algd_jax.runs.compare.summary import compare
from algd_jax.runs.tables import OutputConsole, print_comparison
from tests.runs.compare.tables import make_table

ONE_LIMIT = make_table(rhos=(0.5, 2.0), seeds=2, epochs=2)
SEVERAL = ONE_LIMIT.rename(columns={name: f"{name}/b" for name in ("cost", "cost_limit", "lam")})
SEVERAL = SEVERAL.assign(**{"cost/c": 1.0, "cost_limit/c": 2.0, "lam/c": 0.5})
VALUES = st.one_of(
    st.sampled_from(
        ["", "nan", "inf", "-0.0", "1e308", "1e100", "9" * 400, "True", "0x10", "[b]", '"', "a,b"]
    ),
    st.sampled_from(["failed", "running", "done", "EnvB", "algd rho=2", "$x$", "ρ", "\0", "\x1b"]),
    st.integers(-3, 3).map(str),
    st.text(max_size=4),
)


def with_cells(csv: str, cells) -> bytes:
    """The table with some cells, or names of columns, overwritten."""
    rows = [line.split(",") for line in csv.splitlines()]
    for row, column, value in cells:
        rows[row][column] = value
    return "\n".join(map(",".join, rows)).encode("utf-8", "surrogatepass")


def with_column(csv: str, column: int, value: str) -> bytes:
    return with_cells(csv, [(row, column, value) for row in range(1, csv.count("\n"))])


def with_bytes(csv: str, place: int, data: bytes) -> bytes:
    return csv.encode()[:place] + data + csv.encode()[place + len(data) :]


def contents(table: pd.DataFrame) -> st.SearchStrategy[bytes]:
    """Files that hold the table with something else in it, or anything."""
    csv = table.to_csv(index=False)
    rows, columns = st.integers(0, len(table)), st.integers(0, len(table.columns) - 1)
    cells = st.lists(st.tuples(rows, columns, VALUES), min_size=1, max_size=4)
    return st.one_of(
        cells.map(partial(with_cells, csv)),
        st.builds(partial(with_column, csv), columns, VALUES),
        st.builds(partial(with_bytes, csv), st.integers(0, len(csv)), st.binary(max_size=9)),
        st.binary(max_size=99),
    )


def answer(folder: Path) -> str:
    """What ``algd compare`` says of a sweep, or why it refuses."""
    try:
        comparison = compare(read_runs([folder]))
    except ConfigError as error:
        return str(error)
    json.dumps(comparison.figures(), allow_nan=False)
    out = io.StringIO()
    print_comparison(OutputConsole(file=out, width=120), comparison, [])
    return out.getvalue().replace("\n", "")


@pytest.mark.parametrize("table", [ONE_LIMIT, SEVERAL], ids=["one limit", "several"])
@pytest.mark.parametrize("examples", [150, pytest.param(5000, marks=pytest.mark.slow)])
def test_any_table_is_compared_or_refused(tmp_path, examples, table):
    @settings(
        max_examples=examples,
        derandomize=examples == 150,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(contents(table))
    def holds(content):
        (tmp_path / "results.csv").write_bytes(content)
        assert answer(tmp_path).isprintable()

    holds()
