"""Episodes as moving pictures: frames of MuJoCo with figures above, and red where a step cost."""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from algd_jax.envs import SafetyEnv
from algd_jax.envs.rendering import MakeContext, Renderer
from algd_jax.runs.processes import starting_a_process
from algd_jax.runs.render.episodes import Episode

Camera = Literal["side", "top"]

_HEADER = 48  # pixels above a frame
_BORDER = 6
_SIZES = {".mp4": 480, ".gif": 320}  # pixels of a frame's side
_MOST_FRAMES_PER_SECOND = {".mp4": 30.0, ".gif": 12.5}
_GIF_COLORS = 64

_INK, _PAPER, _RED = (30, 30, 36), (255, 255, 255), (205, 25, 25)


def make_video(
    env: SafetyEnv,
    episodes: Sequence[Episode],
    suffix: str,
    camera: Camera,
    limit: float | None,
    make_context: MakeContext,
) -> bytes:
    """Episodes one after another, in real time or a little less than that.

    Args:
      env: that can be drawn.
      episodes: at least one.
      suffix: ``.mp4`` or ``.gif``.
      camera: from where.
      limit: of the total cost, if it has one [cost / episode].
      make_context: of OpenGL.
    """
    stride = max(1, math.ceil(1 / (env.dt * _MOST_FRAMES_PER_SECOND[suffix]) - 1e-6))
    frames = draw_frames(env, episodes, _SIZES[suffix], stride, camera, limit, make_context)
    encode = {".mp4": _encode_mp4, ".gif": _encode_gif}[suffix]
    return encode(frames, 1 / (env.dt * stride))


def draw_frames(
    env: SafetyEnv,
    episodes: Sequence[Episode],
    size: int,
    stride: int,
    camera: Camera,
    limit: float | None,
    make_context: MakeContext,
) -> Iterator[Image.Image]:
    """A frame every ``stride`` steps, red if any of these steps cost something."""
    with Renderer(env.draw(episodes[0].state(0))[0], size, make_context) as renderer:
        for episode in episodes:
            costs, returns = episode.costs_so_far(), episode.returns_so_far
            for step in shown_steps(len(episode), stride):
                picture = renderer.frame(*env.draw(episode.state(step)), camera)
                left = f"return {returns[step]:.2f}"
                allowed = "" if limit is None else f" / {limit:g}"
                right = f"cost {costs[step]:.4g}{allowed}"
                over = limit is not None and costs[step] > limit
                time = f"episode {episode.number}   {step * env.dt:.1f} s"
                costly = bool(episode.costly[max(0, step - stride) : step].any())
                yield _framed(picture, (left, right, time), costly, over)


def shown_steps(length: int, stride: int) -> list[int]:
    """Every ``stride``-th step of 0 to ``length``, and the last."""
    return [*range(0, length, stride), length]


def _framed(
    picture: np.ndarray, texts: tuple[str, str, str], costly: bool, over: bool
) -> Image.Image:
    """A frame below its figures; red round it if the step cost, red figures over the limit."""
    size = picture.shape[0]
    image = Image.new("RGB", (size, size + _HEADER), _PAPER)
    image.paste(Image.fromarray(picture), (0, _HEADER))
    draw = ImageDraw.Draw(image)
    large, small = ImageFont.load_default(18), ImageFont.load_default(13)
    returns, cost, time = texts
    draw.text((10, 5), returns, _INK, large)
    draw.text((size - 10, 5), cost, _RED if over or costly else _INK, large, anchor="ra")
    draw.text((10, 28), time, (110, 110, 120), small)
    if costly:
        box = (0, _HEADER, size - 1, size + _HEADER - 1)
        draw.rectangle(box, outline=_RED, width=_BORDER)
        draw.text((size - 10, 28), "this step costs", _RED, small, anchor="ra")
    return image


def _encode_gif(frames: Iterable[Image.Image], frames_per_second: float) -> bytes:
    """A GIF that repeats; its clock ticks in hundredths of a second."""
    few = [frame.quantize(_GIF_COLORS, dither=Image.Dither.NONE) for frame in frames]
    file = io.BytesIO()
    pause = 10 * round(100 / frames_per_second)
    few[0].save(
        file, "GIF", save_all=True, append_images=few[1:], duration=pause, loop=0, optimize=True
    )
    return file.getvalue()


def _encode_mp4(frames: Iterator[Image.Image], frames_per_second: float) -> bytes:
    """H.264, which browsers play; the extra "video" brings the encoder."""
    import imageio_ffmpeg

    first = next(frames)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "episodes.mp4"
        writer = imageio_ffmpeg.write_frames(
            str(path), first.size, fps=frames_per_second, macro_block_size=2, quality=6
        )
        with starting_a_process():
            writer.send(None)
        try:
            for frame in (first, *frames):
                writer.send(frame.tobytes())
        finally:
            writer.close()
        return path.read_bytes()
