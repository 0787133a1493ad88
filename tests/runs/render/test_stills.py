import re

import numpy as np
import pytest

from algd_jax.runs.render import page, picture
from algd_jax.runs.render.plan import plan_of
from algd_jax.runs.render.series import heading, is_over, parts_of, progress_of
from tests.runs.render.scene import COSTLY, SceneProbe, known_episode

HOSTILE = "</title><script>alert(1)</script>"


@pytest.fixture(scope="module")
def plan():
    return plan_of(SceneProbe(), known_episode())


@pytest.fixture
def figures(monkeypatch):
    """The Matplotlib figures that would be written."""
    drawn = []
    monkeypatch.setattr(picture, "_png", lambda figure: drawn.append(figure) or b"")
    return drawn


def test_pictures_are_png_files(plan):
    for content in (
        picture.draw_maps([known_episode()], [plan], 1.0, "title"),
        picture.draw_series([known_episode()], None, 0.1, "title"),
    ):
        assert content.startswith(b"\x89PNG\r\n\x1a\n")


def test_a_map_has_a_panel_for_each_episode_and_red_where_it_cost(plan, figures):
    episodes = [known_episode(number) for number in (1, 2, 3, 4)]
    picture.draw_maps(episodes, [plan] * 4, 1.0, "title")
    panels = [axes for axes in figures[0].axes if axes.axison]
    assert [axes.get_title() for axes in panels] == [
        f"episode {number}: return 6.00, cost 2 (limit 1), 6 steps" for number in (1, 2, 3, 4)
    ]
    free, costly = panels[0].collections
    starts = [segment[0].tolist() for segment in costly.get_segments()]
    assert starts == [[0.5 * (step - 1), 0] for step in COSTLY]
    assert len(free.get_segments()) == 4
    # The first is red, because it is over its limit.
    assert panels[0].title.get_color() == picture._COST
    words = {text.get_text() for text in figures[0].legends[0].get_texts()}
    assert words >= {"hazards", "goal", "vases", "step with cost"}


def test_curves_show_speed_where_there_is_one_and_what_costs_so_far(figures):
    episode = known_episode(x_velocity=np.arange(6.0))
    picture.draw_series([episode], 5.0, 0.1, "title")
    above, below = figures[0].axes
    assert above.get_ylabel() == "velocity forward [m/s]"
    np.testing.assert_array_equal(above.lines[0].get_ydata(), np.arange(6.0))
    np.testing.assert_array_equal(below.lines[0].get_ydata(), [0, 0, 0, 1, 2, 2, 2])
    np.testing.assert_allclose(below.lines[0].get_xdata(), 0.1 * np.arange(7))


def test_speed_is_the_length_of_the_velocity():
    both = known_episode(x_velocity=np.full(6, 3.0), y_velocity=np.full(6, -4.0))
    np.testing.assert_allclose(progress_of(both).values, 5.0)
    assert progress_of(known_episode()).name == "reward of the step"


def test_a_step_is_told_with_the_parts_of_its_cost():
    episode = known_episode()
    assert [parts_of(episode, step) for step in (0, 2, 3)] == [
        "no cost",
        "no cost",
        "cost 1: hazards",
    ]
    assert heading(episode, None) == "episode 1: return 6.00, cost 2, 6 steps"
    assert (is_over(episode, 1.9), is_over(episode, 2.0), is_over(episode, None)) == (1, 0, 0)


def test_the_slider_moves_what_moves(plan):
    figure = page.episode_figure(known_episode(), plan, 1.0, 0.1)
    assert [frame.name for frame in figure.frames] == [str(step) for step in range(7)]
    names = [figure.data[index].name for index in figure.frames[4].traces]
    goal, vase, robot, gained, paid = figure.frames[4].data
    assert names == ["goal", "vases", "robot", None, None]
    np.testing.assert_allclose([robot.x[0], robot.y[0]], [2.0, 0.0])
    assert robot.marker.color == page.RED  # Step 4 costs.
    assert figure.frames[5].data[2].marker.color != page.RED
    np.testing.assert_allclose([gained.x[0], gained.y[0], paid.y[0]], [0.4, 4.0, 2.0])
    np.testing.assert_allclose(np.mean(goal.x[:-1]), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.min(vase.y), 0.2, atol=1e-6)
    told = figure.layout.meta["moments"]
    assert told[2] == {"text": "step 2: return 2.00, cost 0 so far", "costs": False}
    assert told[4] == {
        "text": "step 4: return 4.00, cost 2 so far; now cost 1: hazards",
        "costs": True,
    }


def test_a_long_episode_has_a_bounded_slider_that_tells_every_cost(plan, monkeypatch):
    monkeypatch.setattr(page, "_MOST_MOMENTS", 3)
    figure = page.episode_figure(known_episode(), plan, 1.0, 0.1)
    moments = figure.layout.meta["moments"]
    assert [moment["text"].split(":")[0] for moment in moments] == ["step 0", "step 3", "step 6"]
    assert [moment["costs"] for moment in moments] == [False, True, True]
    assert moments[2]["text"].endswith("now cost 1: hazards")  # Of step 4, between the two.
    assert figure.frames[2].data[2].marker.color == page.RED


def test_panels_stand_below_each_other_on_a_narrow_screen(plan):
    figure = page.episode_figure(known_episode(), plan, 1.0, 0.1)
    narrow, wide = (figure.layout.meta[name] for name in ("narrow", "wide"))
    assert narrow.keys() == wide.keys()
    assert all(narrow[f"{axis}.domain"] == [0, 1] for axis in ("xaxis", "xaxis2", "xaxis3"))
    bounds = [narrow[f"{axis}.domain"] for axis in ("yaxis", "yaxis2", "yaxis3")]
    assert bounds[0][1] == 1
    assert bounds[0][0] > bounds[1][1] > bounds[1][0] > bounds[2][1] > bounds[2][0] == 0
    assert wide["xaxis.domain"][1] < wide["xaxis2.domain"][0]


def test_hovering_tells_every_step(plan):
    figure = page.episode_figure(known_episode(), plan, 1.0, 0.1)
    path = next(trace for trace in figure.data if trace.name == "path")
    dots = next(trace for trace in figure.data if trace.name == "step with cost")
    assert path.text[3] == "step 3, reward 1.000, cost 1: hazards"
    assert list(dots.text) == [path.text[step] for step in COSTLY]
    np.testing.assert_allclose(dots.x, [1.5, 2.0])


def test_a_page_stands_alone_and_no_text_is_markup(plan):
    shapes = [[shape._replace(kind=HOSTILE) for shape in shapes] for shapes in plan.shapes]
    episode = known_episode(1, **{f"cost_{HOSTILE}": np.ones(6, np.float32)})
    episodes, plans = [episode, known_episode(2)], [plan._replace(shapes=shapes), plan]
    text = page.episodes_page(episodes, plans, 1.0, 0.1, HOSTILE).decode()
    assert "<script>alert" not in text
    assert "&lt;/title&gt;" in text
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", text)
    assert text.count("Plotly.newPlot(") == 2
    assert text.count("<h2>") == 2


def test_a_page_without_maps_has_curves_on_which_time_passes():
    figure = page.episode_figure(known_episode(), None, None, 0.1)
    assert [trace.name for trace in figure.data if trace.name] == [
        "reward of the step",
        "return so far",
        "cost so far",
        "step with cost",
    ]
    dots = next(trace for trace in figure.data if trace.name == "step with cost")
    np.testing.assert_allclose(dots.x, [0.1 * step for step in COSTLY])
    assert [point.x[0] for point in figure.frames[4].data] == [0.4] * 3
    assert figure.layout.meta["moments"][4]["costs"]
