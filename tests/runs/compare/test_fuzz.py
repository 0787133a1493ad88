"""Whatever stands in the table of a sweep: strict JSON, or one clear line."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from algd_jax.errors import ConfigError
from algd_jax.runs.compare.reading import read_runs
from algd_jax.runs.compare.summary import compare
from algd_jax.runs.tables import OutputConsole, print_comparison
from tests.runs.compare.tables import make_table

TABLE = make_table(rhos=(0.5, 2.0), seeds=2, epochs=2)
CSV = TABLE.to_csv(index=False)
VALUES = st.one_of(
    st.sampled_from(
        ["", "nan", "inf", "-0.0", "1e308", "1e100", "9" * 400, "True", "0x10", "[b]", '"', "a,b"]
    ),
    st.sampled_from(["failed", "running", "done", "EnvB", "algd rho=2", "$x$", "ρ", "\0", "\x1b"]),
    st.integers(-3, 3).map(str),
    st.text(max_size=4),
)
CELLS = st.tuples(st.integers(0, len(TABLE)), st.integers(0, len(TABLE.columns) - 1), VALUES)


def with_cells(cells) -> bytes:
    """The table with some cells, or names of columns, overwritten."""
    rows = [line.split(",") for line in CSV.splitlines()]
    for row, column, value in cells:
        rows[row][column] = value
    return "\n".join(map(",".join, rows)).encode("utf-8", "surrogatepass")


def with_column(column: int, value: str) -> bytes:
    return with_cells([(row, column, value) for row in range(1, len(TABLE) + 1)])


def with_bytes(place: int, data: bytes) -> bytes:
    return CSV.encode()[:place] + data + CSV.encode()[place + len(data) :]


CONTENTS = st.one_of(
    st.lists(CELLS, min_size=1, max_size=4).map(with_cells),
    st.builds(with_column, st.integers(0, len(TABLE.columns) - 1), VALUES),
    st.builds(with_bytes, st.integers(0, len(CSV)), st.binary(max_size=9)),
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


@pytest.mark.parametrize("examples", [150, pytest.param(5000, marks=pytest.mark.slow)])
def test_any_table_is_compared_or_refused(tmp_path, examples):
    @settings(
        max_examples=examples,
        derandomize=examples == 150,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(CONTENTS)
    def holds(content):
        (tmp_path / "results.csv").write_bytes(content)
        assert answer(tmp_path).isprintable()

    holds()
