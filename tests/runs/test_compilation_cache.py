import os
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import jax
import pytest

from algd_jax.runs.compilation_cache import keep_compiled_programs
from tests.runs.support import TINY_FLAGS, read_lines, without_clock

ROOT = Path(__file__).parents[2]


def run_python(script, *argv, **variables):
    """A process of its own, because JAX decides once per process about its cache."""
    ours = {name: value for name, value in os.environ.items() if "CACHE" not in name}
    return subprocess.run(
        [sys.executable, "-c", script, *argv],
        env={**ours, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=True,
    )


COMPILE = """
import jax
from algd_jax.runs.compilation_cache import keep_compiled_programs
keep_compiled_programs()
jax.jit(lambda x: x + 1)(1.0)
"""


@pytest.mark.parametrize(
    ("variables", "kept_below"),
    [
        ({}, "home"),
        ({"JAX_COMPILATION_CACHE_DIR": "elsewhere"}, "elsewhere"),
        ({"JAX_ENABLE_COMPILATION_CACHE": "1"}, "home"),
        ({"JAX_ENABLE_COMPILATION_CACHE": "0"}, None),
    ],
)
def test_programs_are_kept_in_the_user_s_cache_unless_told_otherwise(
    tmp_path, variables, kept_below
):
    (tmp_path / "home").mkdir()
    if "JAX_COMPILATION_CACHE_DIR" in variables:
        variables = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "elsewhere")}
    at_once = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    run_python(COMPILE, HOME=str(tmp_path / "home"), **at_once, **variables)
    kept = {file.relative_to(tmp_path).parts[0] for file in tmp_path.rglob("jit_*-cache")}
    assert kept == ({kept_below} if kept_below else set())


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder with programs that JAX's configuration names; nothing compiles meanwhile."""
    for name in ("jit_step-0a1b-cache", "jit_step-2c3d-cache", "jit_step_two-4e5f-cache"):
        (tmp_path / name).write_bytes(b"program")
    before = jax.config.values["jax_compilation_cache_dir"]
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))  # Not to be set anew.
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)


def test_a_damaged_program_is_removed_without_a_word(cache, monkeypatch):
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: shown.append(str(message)))
    keep_compiled_programs()
    warnings.warn(
        "Error reading persistent compilation cache entry for 'jit_step': error: incomplete",
        stacklevel=1,
    )
    assert [file.name for file in cache.iterdir()] == ["jit_step_two-4e5f-cache"]
    assert shown == []
    warnings.warn("something else", stacklevel=1)
    assert shown == ["something else"]


def cut_short(content: bytes) -> bytes:
    return content[: len(content) // 2]


def one_byte_changed(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


DAMAGE = {"jit_init": cut_short, "jit_train_epoch": one_byte_changed}


@pytest.mark.slow
def test_training_survives_a_damaged_cache_and_mends_it(tmp_path):
    cache = tmp_path / "cache"
    command = "import sys; from algd_jax.cli import main; sys.exit(main())"
    train = ["train", "--env", "tests.probes:ActionProbe", "--algorithm", "sac", *TINY_FLAGS]

    def logged(name):
        flags = [*train, "--run-dir", str(tmp_path / name)]
        process = run_python(command, *flags, JAX_COMPILATION_CACHE_DIR=str(cache))
        assert process.stderr == ""
        return without_clock(read_lines(tmp_path / name / "metrics.jsonl"))

    before = logged("before")
    for name, damage in DAMAGE.items():
        (file,) = cache.glob(f"{name}-*-cache")
        file.write_bytes(damage(file.read_bytes()))
        with pytest.raises(zlib.error):
            zlib.decompress(file.read_bytes())
    assert logged("after") == before
    for name in DAMAGE:
        (file,) = cache.glob(f"{name}-*-cache")
        assert zlib.decompress(file.read_bytes())
