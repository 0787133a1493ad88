"""Tables, legends and players: what the pages are made of."""

import plotly.graph_objects as go
import pytest

from algd_jax.errors import ConfigError
from algd_jax.runs.new_file import check_new, write_new
from algd_jax.runs.pages.charts import Moment, add_moments, charts_html, styled
from algd_jax.runs.pages.page import Section, make_page, picture, table

HOSTILE = "\"'><script>alert(1)</script>"


def test_a_column_of_numbers_stands_to_the_right():
    made = table(["a", "b", "c"], [["x", "1,000.5", "1"], ["y", "", "one"]])
    assert '<th scope="col" class="number">b</th>' in made
    assert '<td>x</td><td class="number">1,000.5</td><td>1</td>' in made
    assert "<button" not in made
    assert table(["a"], [["x"]], is_sortable=True).count('<th scope="col"><button') == 1
    assert table(["a"], []).endswith("<tbody></tbody></table></div>")


def test_a_legend_has_a_button_for_each_group():
    figure = go.Figure(
        [
            go.Scatter(x=[0], y=[0], name=HOSTILE, legendgroup="one", line={"color": "#123456"}),
            go.Scatter(x=[0], y=[0], name="its band", legendgroup="one", showlegend=False),
            go.Scatter(x=[0], y=[0], name="other", visible="legendonly", fillcolor="#abcdef"),
            go.Scatter(x=[0], y=[0], name="unnamed", showlegend=False),
        ]
    )
    made = charts_html({HOSTILE: styled(figure)})
    legend = made.split('<div class="legend">')[1].split("</div>")[0]
    assert legend.count("<button") == 2
    assert 'data-group="g1" aria-pressed="true"><i style="background:#123456">' in legend
    assert 'data-group="g2" aria-pressed="false"><i style="background:#abcdef">' in legend
    assert [trace.legendgroup for trace in figure.data] == ["g1", "g1", "g2", None]
    assert "<script>alert" not in made
    assert made.count("&quot;&#x27;&gt;&lt;script&gt;") == 3  # Caption, legend, and for Plotly.


def test_one_line_needs_no_legend():
    figure = styled(go.Figure(go.Scatter(x=[0], y=[0], name="alone")))
    assert '<div class="legend">' not in charts_html({"": figure})


def test_a_player_begins_where_the_figure_stands():
    figure = styled(go.Figure(go.Scatter(x=[0], y=[0])))
    data = [[go.Scatter(x=[step], y=[0])] for step in range(3)]
    moments = [Moment("first"), Moment(HOSTILE, costs=True), Moment("last")]
    made = charts_html({"": add_moments(figure, moments, data, [0], start=1)})
    assert '<input type="range" min="0" max="2" value="1" aria-label="moment">' in made
    assert "<output>&quot;" in made
    assert "<script>alert" not in made
    assert [frame.name for frame in figure.frames] == ["0", "1", "2"]


def test_a_page_has_links_to_several_sections_and_to_nothing_else():
    one, two = Section(HOSTILE, "<p>a</p>"), Section("two", picture(b"png", HOSTILE))
    text = make_page(HOSTILE, [one, two]).decode()
    assert text.count('<a href="#s') == 2
    assert "<script>alert" not in text
    assert "<nav>" not in make_page("", [one]).decode()


def test_a_new_file_is_written_whole_and_once(tmp_path):
    out = tmp_path / "new" / "page.html"
    check_new(out)
    write_new(out, b"mine")
    for write in (check_new, lambda out: write_new(out, b"other")):
        with pytest.raises(ConfigError, match=r"page.html exists, allowed is a new file"):
            write(out)
    assert out.read_bytes() == b"mine"
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ConfigError, match=r"link exists, allowed is a new file"):
        check_new(tmp_path / "link")
    with pytest.raises(ConfigError, match=r"is no folder that can be written to"):
        check_new(out / "below")
    with pytest.raises(ConfigError, match=r"cannot be written \((Not a directory|File exists)\)"):
        write_new(out / "below", b"")
    with pytest.raises(ConfigError, match=r"cannot be written \(File name too long"):
        check_new(tmp_path / ("x" * 300) / "y")
