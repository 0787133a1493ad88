"""The pages in a real browser: drawn, in place, readable, and reached by keys."""

import itertools

import pytest

from algd_jax.envs import registry
from algd_jax.runs.compare.page import make_comparison_page
from algd_jax.runs.compare.reading import read_runs
from algd_jax.runs.compare.summary import compare
from algd_jax.runs.new_file import write_new
from algd_jax.runs.render.page import episodes_page
from algd_jax.runs.render.plan import plan_of
from algd_jax.runs.report.report import save_report
from algd_jax.runs.run import train
from tests.runs.compare.tables import make_table, write_sweep
from tests.runs.render.scene import SceneProbe, known_episode
from tests.runs.support import tiny_config

WIDTHS, SCHEMES = (1200, 375), ("light", "dark")
NAMES = ("run", "sweep", "comparison", "map", "curves")


@pytest.fixture(scope="module")
def files(tmp_path_factory, probes):
    """A page of every kind, by name."""
    folder = tmp_path_factory.mktemp("browser")
    made = {name: folder / f"{name}.html" for name in NAMES}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._FACTORIES, "SceneProbe", SceneProbe)
        train(tiny_config("SceneProbe", cost_limit=1.0, env_steps=160), folder / "run")
        save_report(folder / "run", made["run"], episodes=2)
    long = "rho_of_a_name_that_has_no_space_at_which_a_narrow_screen_could_break_it"
    table = make_table(algorithms=("algd", "cal"), rhos=(0.5, 1.0, 1.5, 5.0), seeds=2)
    sweep = write_sweep(folder / "sweep", table.rename(columns={"rho": long}))
    save_report(sweep, made["sweep"])
    write_new(made["comparison"], make_comparison_page(compare(read_runs([sweep]))))
    episodes, plan = [known_episode(1), known_episode(2)], plan_of(SceneProbe(), known_episode())
    for name, plans in (("map", [plan, plan]), ("curves", [])):
        write_new(made[name], episodes_page(episodes, plans, 1.0, 0.1, "x" * 200))
    return made


@pytest.fixture(scope="module", params=NAMES)
def page(request, browser, files):
    """An open page that loads nothing and complains of nothing, whatever the tests do."""
    page = browser.new_page(viewport={"width": WIDTHS[0], "height": 900})
    complaints, loaded = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: loaded.append(request.url))
    page.goto(files[request.param].as_uri())
    yield page
    page.close()
    assert complaints == []
    assert [url for url in loaded if not url.startswith(("file:", "data:", "blob:"))] == []


def settle(page):
    """Wait until what was asked for is drawn."""
    page.evaluate("() => new Promise(done => setTimeout(() => requestAnimationFrame(done), 300))")


CHARTS = """() => [...document.querySelectorAll(".js-plotly-plot")].map(chart => {
  const box = chart.querySelector(".main-svg").getBoundingClientRect();
  return {
    wanted: chart._fullData.filter(one => one.visible === true && one.x.length).length,
    drawn: chart.querySelectorAll(".scatterlayer .trace, .contourlayer .contour").length,
    left: box.left,
    right: box.right,
    isWhole: [chart.parentElement, chart.closest("figure")].every(
      around => around.getBoundingClientRect().bottom >= box.bottom - 1),
    panels: [...chart.querySelectorAll(".bg")].map(one => one.getBoundingClientRect().toJSON()),
  };
})"""


def test_every_chart_is_drawn_whole_on_every_screen(page):
    for width, scheme in itertools.product(WIDTHS, SCHEMES):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        charts = page.evaluate(CHARTS)
        assert charts
        for chart in charts:
            assert chart["drawn"] == chart["wanted"] > 0
            assert 0 <= chart["left"] < chart["right"] <= width
            assert chart["isWhole"]
            assert all(panel["width"] > 150 < panel["height"] + 50 for panel in chart["panels"])
            for above, below in itertools.pairwise(chart["panels"]):
                assert width > 600 or above["bottom"] < below["top"]


CONTRASTS = """() => {
  const light = (color) => {
    const parts = color.match(/[\\d.]+/g).slice(0, 3).map(one => one / 255);
    const [r, g, b] = parts.map(
      one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = light(getComputedStyle(document.body).backgroundColor);
  const texts = document.querySelectorAll(
    "h1, h2, p, a, td, th, figcaption, output, .legend button, .main-svg > g:not(.hoverlayer) text"
  );
  return [...texts].filter(one => one.textContent).map(one => {
    const style = getComputedStyle(one);
    const ink = light(one instanceof SVGElement ? style.fill : style.color);
    const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    return [ratio, one.textContent];
  });
}"""


def test_every_text_can_be_read_in_light_and_in_dark(page):
    """The contrast that WCAG 2 asks of small text, level AA."""
    grounds = set()
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        settle(page)
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        found = page.evaluate(CONTRASTS)
        assert len(found) > 20
        assert min(found)[0] >= 4.5, min(found)
    assert len(grounds) == 2


FOCUSABLE = "a, button, input, summary, [tabindex='0']"
FOCUSED = f"""() => {{
  const all = [...document.querySelectorAll("{FOCUSABLE}")];
  return all.indexOf(document.activeElement);
}}"""


def test_keys_reach_everything_that_can_be_touched(page):
    elements = f"""[...document.querySelectorAll("{FOCUSABLE}")]"""
    count = page.evaluate(f"{elements}.filter(one => one.checkVisibility()).length")
    page.evaluate("document.body.tabIndex = -1; document.body.focus()")  # Begin at the top.
    reached = []
    for _ in range(count):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUSED))
    assert count > 5
    assert reached == sorted(set(reached)) != [-1]


def test_keys_move_play_hide_and_sort(page):
    settle(page)
    for player in page.locator(".player").all():
        slider, output = player.locator("input"), player.locator("output")
        slider.focus()
        page.keyboard.press("Home")
        settle(page)
        before, drawn = output.text_content(), positions(player)
        page.keyboard.press("ArrowRight")
        settle(page)
        assert output.text_content() == slider.get_attribute("aria-valuetext") != before
        assert positions(player) != drawn
        player.locator("button").focus()
        page.keyboard.press("Enter")
        player.locator("button", has_text="pause").wait_for()
        player.locator("button", has_text="play").wait_for()  # It has come to the end.
        assert slider.input_value() == slider.get_attribute("max")
    for legend in page.locator(".legend").all():
        button = legend.locator("button").first
        for expected in ("false", "true"):
            button.focus()
            page.keyboard.press("Enter")
            assert button.get_attribute("aria-pressed") == expected
            assert shown(legend) == {expected == "true"}
    for table in page.locator("table.sortable").all():
        head = table.locator("th button").first
        orders = []
        for _ in range(2):
            head.focus()
            page.keyboard.press("Enter")
            orders.append(table.locator("tbody td:first-child").all_text_contents())
        assert orders[0] == sorted(orders[0]) == orders[1][::-1]


def positions(player):
    """Where the traces are that the slider of a chart moves."""
    return player.evaluate(
        """player => [...player.closest("figure").querySelectorAll(".scatterlayer .trace")]
          .map(trace => trace.innerHTML).join()"""
    )


def shown(legend):
    """Whether the traces of a legend's first button are visible."""
    found = legend.evaluate(
        """legend => legend.closest("figure").querySelector(".js-plotly-plot").data
          .filter(one => one.legendgroup === legend.querySelector("button").dataset.group)
          .map(one => one.visible ?? true)"""
    )
    return set(found)


def test_costs_are_highlighted_when_they_occur(browser, files):
    page = browser.new_page()
    page.goto(files["map"].as_uri())
    slider, output = page.locator(".player input").first, page.locator(".player output").first
    slider.focus()
    told = []
    for _ in range(6):
        page.keyboard.press("ArrowRight")
        told.append((output.get_attribute("class") or "", output.text_content()))
    assert ["costs" in name for name, _ in told] == [False, False, True, True, False, False]
    assert told[2][1] == "step 3: return 3.00, cost 1 so far; now cost 1: hazards"
    page.close()


def test_a_finger_on_a_chart_moves_the_page(browser, files):
    context = browser.new_context(
        viewport={"width": 375, "height": 700}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(files["run"].as_uri())
    settle(page)
    chart = page.locator(".js-plotly-plot").first
    chart.scroll_into_view_if_needed()
    box, before = chart.bounding_box(), page.evaluate("scrollY")
    finger = context.new_cdp_session(page)
    for step in range(11):
        kind = "touchMove" if step else "touchStart"
        point = {"x": box["x"] + 150, "y": box["y"] + 250 - 20 * step}
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        page.wait_for_timeout(20)
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert page.evaluate("scrollY") > before + 100
    context.close()
