import io
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from algd_jax.errors import ConfigError
from algd_jax.runs.render import opengl, video
from tests.runs.render.scene import COSTLY, SceneProbe, known_episode


class StubRenderer:
    """Grey frames, without OpenGL."""

    def __init__(self, model, size, make_context):
        self._size = size

    def frame(self, model, data, camera):
        return np.full((self._size, self._size, 3), 128, np.uint8)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def grey(monkeypatch):
    monkeypatch.setattr(video, "Renderer", StubRenderer)


def is_red(image):
    """Whether there is a border: at the left edge, below the figures."""
    red, green, _ = image.convert("RGB").getpixel((2, image.height - 40))
    return red > 150 and green < 80


@pytest.mark.usefixtures("grey")
@pytest.mark.parametrize(
    ("stride", "expected"),
    [(1, [step in COSTLY for step in range(7)]), (2, [False, False, True, False])],
)
def test_frames_are_red_where_a_step_since_the_last_one_cost(stride, expected):
    frames = video.draw_frames(SceneProbe(), [known_episode()], 64, stride, "top", 1.0, None)
    assert [is_red(frame) for frame in frames] == expected


@pytest.mark.parametrize(("length", "stride"), [(6, 1), (6, 4), (7, 3), (1, 5)])
def test_the_last_step_is_shown_whatever_the_stride(length, stride):
    steps = video.shown_steps(length, stride)
    assert steps[0] == 0
    assert steps[-1] == length
    assert len(set(steps)) == len(steps)


@pytest.mark.usefixtures("grey")
def test_a_gif_holds_all_episodes_in_real_time():
    episodes = [known_episode(1), known_episode(2, steps=3)]
    content = video.make_video(SceneProbe(), episodes, ".gif", "side", None, None)
    with Image.open(io.BytesIO(content)) as gif:
        shown = []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            shown += [is_red(gif)] * round(gif.info["duration"] / 100)  # Equal frames are one.
    # 0.1 s a step; the second episode ends with its first costly step.
    assert shown == [step in COSTLY for step in [*range(7), *range(4)]]


@pytest.mark.usefixtures("grey")
def test_an_mp4_can_be_decoded(tmp_path):
    content = video.make_video(SceneProbe(), [known_episode()], ".mp4", "side", 2.0, None)
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    reader = imageio_ffmpeg.read_frames(str(path))
    meta = next(reader)
    frames = [Image.frombytes("RGB", meta["size"], frame) for frame in reader]
    assert meta["fps"] == pytest.approx(10)
    assert [is_red(frame) for frame in frames] == [step in COSTLY for step in range(7)]


def test_mujoco_draws_the_robot_where_it_is():
    """The one test that needs OpenGL."""
    try:
        make_context = opengl.find_context()
    except ConfigError as error:
        pytest.skip(str(error))
    env = SceneProbe()
    with video.Renderer(env.draw({"time": 0.0})[0], 96, make_context) as renderer:
        first, again, later = (
            renderer.frame(*env.draw({"time": time}), "top").astype(int) for time in (0.0, 0.0, 4.0)
        )
    np.testing.assert_array_equal(first, again)
    assert first.shape == (96, 96, 3)
    columns = np.flatnonzero(np.abs(later - first).sum(axis=(0, 2)) > 100)
    assert columns.min() < 48 < columns.max()  # It left from left of the middle to right of it.


def test_ways_to_draw_are_tried_in_turn(monkeypatch):
    tried = []
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(opengl, "_works", lambda way: tried.append(way) or False)
    with pytest.raises(ConfigError, match=r"tried egl, osmesa, glfw.*apt install libegl1.*\.png"):
        opengl.find_context()
    assert tried == ["egl", "osmesa", "glfw"]


def test_the_way_that_the_user_names_is_the_only_one(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.setattr(opengl, "_works", lambda way: False)
    with pytest.raises(ConfigError, match=r"\(tried osmesa\)"):
        opengl.find_context()


def test_a_way_that_does_not_exist_does_not_work(monkeypatch):
    monkeypatch.setattr(opengl, "_TRIAL", "import mujoco_no_such_{way}")
    assert not opengl._works("egl")
    monkeypatch.setattr(opengl.subprocess, "run", _too_slow)
    assert not opengl._works("egl")


def _too_slow(*arguments, **options):
    raise subprocess.TimeoutExpired("python", 1)
