"""Whatever stands in the files of a run or on the command line: an answer or one clear line.

Each property holds for a few examples by default and for thousands with ``-m slow``. What a file
claims of itself is never believed: no example may hang, or take noticeable memory.
"""

import contextlib
import copy
import importlib
import io
import json
import resource
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import pytest

from algd_jax import cli
from algd_jax.config import Config, LoopConfig, validate
from algd_jax.envs import registry
from algd_jax.errors import ConfigError
from algd_jax.runs.arguments import flags as known_flags
from algd_jax.runs.best import best_of
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.keeping import retained
from algd_jax.runs.logs import _line, read_records
from algd_jax.runs.reproduce import changed_circumstances
from algd_jax.runs.run import RunResult
from algd_jax.training import checkpoint, manifest, storage
from algd_jax.training.checkpoint import CheckpointError
from algd_jax.training.manifest import DamageError
from tests.probes import ProbeEnv
from tests.runs.support import files, tiny_config

SLOWEST_SECONDS = 5.0
MOST_MEMORY = 400 * 2**10
"""That the process may grow by [KiB], over all examples."""


@pytest.fixture(params=[100, pytest.param(2_000, marks=pytest.mark.slow)])
def fuzz(request):
    """Runs a property on many examples of its strategies."""

    def run(property_, *strategies):
        """The small number always takes the same examples, the large one new ones."""
        settings = hypothesis.settings(
            max_examples=request.param,
            derandomize=request.param == 100,
            deadline=SLOWEST_SECONDS * 1000,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        settings(hypothesis.given(*strategies)(property_))()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY

    return run


@contextlib.contextmanager
def may_refuse(*errors):
    """Within, one of these errors is an answer, if it is one line fit for a terminal."""
    try:
        yield
    except errors as error:
        line = str(error)
        assert line
        assert line.isprintable()
        assert len(line) < 1000


# What JSON can hold, and what else Python reads as JSON.

NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 2**31, 2**63, 10**30, 10**400, 1e308, True, 0.5, 1]),
)
TEXTS = st.one_of(st.text(max_size=8), st.sampled_from(["", "\x1b[2J", "a:b", "../..", "x" * 999]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(TEXTS, parts, max_size=3),
    max_leaves=5,
)


@st.composite
def changed(draw, original):
    """A JSON value with up to three places changed, removed or added."""
    value = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        value = _changed_once(draw, value)
    return value


def _changed_once(draw, value):
    """Changes a random place; ``value`` may be consumed."""
    deeper = isinstance(value, dict | list) and value and draw(st.integers(0, 4))
    if not deeper:
        return draw(VALUES)
    places = sorted(value) if isinstance(value, dict) else range(len(value))
    place, what = draw(st.sampled_from(places)), draw(st.sampled_from(["deeper", "deeper", "drop"]))
    if what == "drop":
        del value[place]
    else:
        value[place] = _changed_once(draw, value[place])
    if isinstance(value, dict) and draw(st.integers(0, 9)) == 0:
        value[draw(TEXTS)] = draw(VALUES)
    return value


@st.composite
def damaged(draw, original):
    """Bytes with a piece cut out, put in, or replaced."""
    begin = draw(st.integers(0, len(original)))
    end = draw(st.integers(begin, min(len(original), begin + draw(st.sampled_from([0, 1, 9999])))))
    return original[:begin] + draw(st.binary(max_size=4)) + original[end:]


def dump(value):
    """As Python writes it, NaN and all."""
    return json.dumps(value).encode()


# Configurations.


def test_config_files(fuzz, tmp_path):
    directory = RunDirectory(tmp_path / "run")
    directory.create(tiny_config(), ["algd"])
    original = directory.config_file.read_bytes()
    record = json.loads(original)

    def holds(data):
        directory.config_file.write_bytes(data)
        with may_refuse(ConfigError):
            list(changed_circumstances(directory.read_provenance()))
            config = directory.read_config()
            assert isinstance(config, Config)
            validate(config)
            config.hyper.as_arrays()
            assert config.limits.keys() == set(config.constraints)

    fuzz(holds, st.one_of(changed(record).map(dump), damaged(original), st.binary(max_size=99)))


# Command lines.

MODULES = {name: importlib.import_module(f"algd_jax.commands.{name}") for name in cli.COMMANDS}
KINDS = {name: module.Arguments for name, module in MODULES.items()}
WORDS = st.one_of(
    st.integers(-3, 10**6).map(str),
    NUMBERS.map(lambda number: f"{number:.400}" if isinstance(number, float) else str(number)),
    st.sampled_from(
        ["", "-", "--", "=", "nan", "inf", "1e3", "quick", "algd", "PointButton1", "os:path", "."]
    ),
    # No colon: what stands before one is imported.
    st.text(st.characters(codec="utf-8", exclude_characters="\0:"), max_size=8),
)


@st.composite
def command_lines(draw):
    """A command with flags that it has, or nearly, and values that fit, or not."""
    command = draw(st.sampled_from([*KINDS, "trian"]))
    flags = [
        flag
        for flag in known_flags(KINDS.get(command, Config))
        if flag not in ("--help", "--debug")
    ]
    argv = [command]
    for _ in range(draw(st.integers(0, 5))):
        flag = draw(st.one_of(st.sampled_from(flags), st.just("--resume"), WORDS))
        glued = draw(st.booleans())
        values = draw(st.lists(WORDS, max_size=2))
        argv += [f"{flag}={values[0]}", *values[1:]] if glued and values else [flag, *values]
    return argv


class Begins(BaseException):
    """The work would begin."""


@pytest.fixture
def shallow(monkeypatch, tmp_path):
    """Commands stop where the work would begin, in an empty folder."""

    def train(config, run_dir, **_):
        validate(config)
        config.hyper.as_arrays()
        RunDirectory(Path(run_dir)).check_free()
        return RunResult(Path(run_dir), 0, None)

    def begins(*_, **__):
        raise Begins

    monkeypatch.setattr(MODULES["train"], "train", train)
    monkeypatch.setattr(MODULES["play"], "play_env", begins)
    monkeypatch.setattr(MODULES["benchmark"], "run_benchmarks", lambda *_, **__: None)
    monkeypatch.setattr(MODULES["doctor"], "examine", begins)
    monkeypatch.setattr(MODULES["sweep"], "sweep", begins)
    monkeypatch.setattr(registry, "_FACTORIES", {"PointButton1": ProbeEnv})
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("shallow")
def test_command_lines(fuzz):
    def holds(argv):
        out, err, code = io.StringIO(), io.StringIO(), 0
        streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
        with contextlib.suppress(Begins), streams[0], streams[1]:
            code = cli.main(argv)
        assert code in (0, 2, 143), err.getvalue()
        answer = err.getvalue()
        assert (answer == "") == (code != 2)
        if code == 2:
            assert answer.startswith("algd: ")
            assert answer.endswith("\n")
            assert answer[:-1].isprintable()
            assert out.getvalue() == ""

    fuzz(holds, command_lines())
    assert list(Path().iterdir()) == []


# Logs.

EPOCH = {"epoch": 1, "step": 96, "wall_time": 1.5, "lam": 0.5, "episode_return": None}
EVALUATED = EPOCH | {
    "eval_return": 1.5,
    "eval_cost": 0.5,
    "confirmed_return": 1.0,
    "confirmed_cost": 0.5,
    "confirmed_bound": 0.75,
}


def test_logs(fuzz, tmp_path):
    path = tmp_path / "metrics.jsonl"
    whole = dump(EPOCH) + b"\n" + dump(EVALUATED) + b"\n"
    epochs = st.sampled_from([EPOCH, EVALUATED])
    lines = st.one_of(epochs.flatmap(changed).map(dump), epochs.map(dump), st.binary(max_size=20))

    def holds(data):
        path.write_bytes(data)
        with may_refuse(ConfigError):
            records = read_records(path)
            best = best_of(records, {"cost": 1.0})
            assert best is None or sum(best) is not None
            for record in records:
                assert record["step"] >= 0
                assert all(value is None or abs(value) < 2e308 for value in record.values())
                _line(record)

    fuzz(holds, st.one_of(st.lists(lines, max_size=4).map(b"\n".join), damaged(whole)))


# Checkpoints.

TREE = {
    "weights": jnp.arange(6.0).reshape(2, 3),
    "count": jnp.int32(3),
    "key": jax.random.key(7),
    "half": jnp.ones(3, jnp.bfloat16),
}
NOTES = {"step": 5, "epoch": 1, "eval_return": 1.5, "eval_cost": 0.5, "best": True}


@pytest.fixture
def saved(tmp_path):
    """The folder of one checkpoint."""
    directory = RunDirectory(tmp_path)
    checkpoint.save(directory.best, 5, TREE, NOTES)
    return directory


def look(directory):
    """Everything a run reads of a checkpoint but its arrays."""
    for entry in checkpoint.entries(directory.best):
        assert entry.step == 5
    with may_refuse(DamageError):
        manifest.read_manifest(directory.best / "5")
    with may_refuse(CheckpointError):
        checkpoint.read_notes(directory.best)
    retained(checkpoint.entries(directory.best), LoopConfig(keep_every=2, keep_best=True))


def restore(directory):
    """Whether the arrays are given back."""
    tree = None
    with may_refuse(CheckpointError):
        tree = checkpoint.restore(directory.best, TREE).tree
        assert jax.tree.structure(tree) == jax.tree.structure(TREE)
        for got, wanted in zip(jax.tree.leaves(tree), jax.tree.leaves(TREE), strict=True):
            assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
    return tree is not None


def test_manifests(fuzz, saved):
    path = saved.best / "5" / manifest.FILE_NAME
    original = path.read_bytes()
    content = json.loads(original)["content"]

    def forged(content):
        return dump({"sha256": manifest._digest(content), "content": content})

    def holds(data):
        path.write_bytes(data)
        look(saved)
        restore(saved)

    fuzz(holds, st.one_of(changed(content).map(forged), damaged(original), st.binary(max_size=99)))


@pytest.mark.parametrize("forged", [False, True], ids=["", "checksums forged"])
def test_checkpoints(fuzz, saved, forged):
    """Forged checksums let the damage through to the libraries that read arrays."""
    target = saved.best / "5"
    original = files(target)
    names = sorted(name for name in original if name != manifest.FILE_NAME)

    @st.composite
    def damages(draw):
        name = draw(st.sampled_from(names))
        return name, draw(damaged(original[name]))

    def holds(damage):
        name, data = damage
        (target / name).write_bytes(data)
        if forged:
            manifest.write_manifest(target, 5, {}, NOTES, storage.describe(TREE))
        look(saved)
        try:
            assert forged or restore(saved) == (data == original[name])
            restore(saved)
        finally:
            for name, before in original.items():
                (target / name).write_bytes(before)

    fuzz(holds, damages())
