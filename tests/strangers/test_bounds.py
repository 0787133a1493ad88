"""No value makes a command work without end, and every message names what the user typed."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from algd_jax import cli
from algd_jax.commands import completion
from algd_jax.config import MOST_EPISODES
from algd_jax.envs import EnvSpec
from algd_jax.errors import ConfigError, one_line
from algd_jax.runs.arguments import flags, positionals
from algd_jax.runs.display import _time
from tests.strangers.watching import ROOT, TINY, at_most, tree

DIGITS = "9" * 400
NEEDED = {
    "evaluate": ["run"],
    "landscape": ["run"],
    "render": ["run"],
    "report": ["run"],
    "export": ["run"],
    "reproduce": ["run"],
    "watch": ["run", "--once"],
    "play": ["ActionProbe"],
    "train": ["--run-dir", "new"],
    "sweep": ["--run-dir", "new", "--dry-run"],
}


def whole_numbers(command):
    kind = sys.modules[f"algd_jax.commands.{command}"].Arguments
    return [flag for flag, wanted in flags(kind).items() if wanted is int]


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("command", NEEDED)
def test_a_number_of_400_digits_is_refused_at_once(algd, command):
    completion.known_commands()  # Imports all of them.
    for flag in whole_numbers(command):
        if (command, flag) in UNBOUNDED:
            continue
        before = tree(Path())
        with at_most(20):
            code, _, err = algd(command, *NEEDED[command], flag, DIGITS)
        assert code == 2, flag
        assert err.startswith(f"algd: {flag}: "), err
        assert len(err) < 400
        assert err.count("\n") == 1
        assert tree(Path()) == before


UNBOUNDED = {("sweep", "--members"), ("sweep", "--reduction"), ("sweep", "--first-rung")}
UNBOUNDED |= {("sweep", "--cpus"), ("sweep", "--gpus"), ("sweep", "--program")}
"""They cost nothing, whatever they are."""


@pytest.mark.parametrize("command", ["evaluate run", "train --resume run --env-steps 999"])
def test_a_file_cannot_ask_for_episodes_without_end(algd, run, command):
    record = json.loads((run / "config.json").read_text())
    record["config"]["loop"]["final_eval_episodes"] = 2**31 - 1
    (run / "config.json").write_text(json.dumps(record))
    with at_most(20):
        code, _, err = algd(*command.split())
    assert (code, err) == (
        2,
        f"algd: final_eval_episodes: got 2147483647, allowed is at most {MOST_EPISODES}\n",
    )


def test_an_episode_has_an_end():
    fine = {
        "name": "Endless",
        "observation_size": 1,
        "action_size": 1,
        "action_low": (-1.0,),
        "action_high": (1.0,),
        "cost_limit": 1.0,
        "control_period": 0.1,
    }
    EnvSpec(**fine, episode_length=1_000_000)
    with pytest.raises(ConfigError, match="episode_length: got 1000000000, allowed is an integer"):
        EnvSpec(**fine, episode_length=10**9)


OUTPUTS = [
    "landscape run --points 3 --actions 2 --out OUT",
    "report run --out OUT/report.html",
    "render run --out OUT/episodes.png",
    "play ActionProbe --out OUT/episodes.png",
    "export run --out OUT/policy",
    "compare run --out OUT/comparison",
]


@pytest.mark.parametrize("command", OUTPUTS)
def test_where_nothing_can_be_written_nothing_is_computed(algd, run, monkeypatch, command):
    def compute(*_, **__):
        raise AssertionError("computed")

    monkeypatch.setattr("algd_jax.runs.build.build", compute)
    monkeypatch.setattr("algd_jax.runs.landscape.build", compute)
    monkeypatch.setattr("algd_jax.runs.compare.compare.compare", compute)
    code, _, err = algd(*command.replace("OUT", "run/config.json").split())
    assert code == 2
    assert err.startswith("algd: --out: run/config.json is no folder")


def test_a_message_is_short_whatever_it_quotes():
    line = one_line(f"--episodes: got {DIGITS}\x1b[2J, allowed is 1")
    assert line.startswith("--episodes: got 9999")
    assert line.endswith("9?[2J, allowed is 1")
    assert len(line) < 150
    assert len(one_line("a " * 10_000)) < 4100


# Environments of one's own.

ENVIRONMENT = """
import jax, jax.numpy as jnp
from tests.probes import ProbeEnv

class MyEnv(ProbeEnv):
{}

def make():
    return MyEnv()
"""
BROKEN = [
    ("def __init__(self): {}['init']", "cannot build 'own:MyEnv': MyEnv raised KeyError: 'init'"),
    ("def __init__(self): raise SystemExit", "cannot build 'own:MyEnv': MyEnv raised SystemExit: "),
    ("def reset(self, rng): {}['r']", "MyEnv: MyEnv.reset raised KeyError: 'r'"),
    ("def step(self, state, action): {}['s']", "MyEnv: MyEnv.step raised KeyError: 's'"),
    ("def step(self, state, action): exit()", "MyEnv: MyEnv.step raised SystemExit"),
    (
        "def step(self, state, action): return 3",
        "MyEnv: step returns something else than a State of Brax",
    ),
    (
        "def step(self, *given): return super().step(*given).replace(obs=jnp.zeros(5))",
        "MyEnv: observation_size: got 2, but step returns observations of shape (5,)",
    ),
    (
        "def step(self, *given): return super().step(*given).replace(reward=jnp.zeros(2))",
        "MyEnv: step returns reward of shape (2,), allowed is ()",
    ),
    (
        "def step(self, *given): return super().step(*given).replace(reward=jnp.int32(1))",
        "MyEnv: step returns reward as int32[], allowed is float32[], as it was given",
    ),
    (
        "def step(self, *given): return super().step(*given).replace(metrics={})",
        "MyEnv: step returns no 'cost' in its metrics",
    ),
]


@pytest.mark.parametrize(("body", "message"), BROKEN)
def test_what_an_own_environment_does_wrong_is_told_with_its_name(
    algd, tmp_path, monkeypatch, body, message
):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(ENVIRONMENT.format(textwrap.indent(body, "    ")))
    sys.modules.pop("own", None)
    tiny = TINY.replace("ActionProbe", "own:MyEnv").split()
    for command in (["train", *tiny, "--run-dir", "new"], ["play", "own:MyEnv"]):
        code, _, err = algd(*command)
        assert code == 2
        assert message in err
        assert err.count("\n") == 1
        assert not Path("new").exists()
    code, _, err = algd("train", *tiny, "--run-dir", "new", "--debug")
    if "raised" in message:
        assert 'own.py", line ' in err
    sys.modules.pop("own", None)


def test_what_goes_wrong_later_is_kept_in_the_log(algd, tmp_path, monkeypatch):
    """With its traceback; the message is its first line."""

    def fail(*_):
        raise KeyError("later")

    monkeypatch.setattr("algd_jax.runs.run._Run._epoch", fail)
    code, _, err = algd("train", *TINY.split(), "--run-dir", tmp_path / "new")
    assert (code, err) == (1, "algd: 'later'\n")
    log = (tmp_path / "new" / "run.log").read_text()
    assert "Traceback (most recent call last):" in log
    assert log.endswith("KeyError: 'later'\n")


def test_only_help_ends_a_command_well(algd, monkeypatch):
    def end(argv):
        raise SystemExit

    monkeypatch.setattr("algd_jax.commands.envs.run", end)
    assert algd("envs")[0] == 1
    assert algd("watch", "--help")[0] == 0


# Signals and streams.


def start(*argv, **options):
    command = f"import sys; from tests.runs.support import PROBES; {REGISTER}; {MAIN}"
    return subprocess.Popen(
        [sys.executable, "-c", command, *argv],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        **options,
    )


REGISTER = "from algd_jax.envs import registry; registry._FACTORIES.update(PROBES)"
MAIN = "from algd_jax.cli import main; sys.exit(main(sys.argv[1:]))"


def test_a_lost_terminal_stops_a_run_with_a_checkpoint(tmp_path):
    longer = TINY.replace("--env-steps=160", "--env-steps=2000000").split()
    process = start("train", *longer, "--run-dir", str(tmp_path / "run"), stdout=subprocess.PIPE)
    for line in process.stdout:
        if line.startswith("step "):
            process.send_signal(signal.SIGHUP)
            break
    process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGHUP
    assert any((tmp_path / "run/checkpoints/state").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_compiles_ends_at_once(tmp_path, number):
    """Nothing is lost: it begins again."""
    larger = [*TINY.split(), "--chain-steps=20", "--critic-layers=30", "--critic-width=64"]
    process = start(
        "train",
        *larger,
        "--run-dir",
        str(tmp_path / "run"),
        stdout=subprocess.PIPE,
    )
    for line in process.stdout:
        if line.startswith("compiling"):
            process.send_signal(number)
            break
    process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert (tmp_path / "run/config.json").exists()


def test_a_run_without_output_ends_well(tmp_path):
    """As ``>&-`` closes it."""
    process = start(
        "train",
        *TINY.split(),
        "--run-dir",
        str(tmp_path / "run"),
        preexec_fn=lambda: os.close(1),
        stderr=subprocess.PIPE,
    )
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert (tmp_path / "run/evaluation.json").exists()


def test_a_signal_that_was_ignored_still_is(monkeypatch):
    from algd_jax.runs.interrupt import StopSignals

    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # As nohup does.
    try:
        with StopSignals(lambda: None, lambda: None):
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)


ABSURD = [
    ("wall_time", 1e308),
    ("wall_time", -1),
    ("steps_per_second", 1e300),
    ("steps_per_second", None),
]


@pytest.mark.parametrize(("field", "value"), ABSURD)
def test_absurd_numbers_of_a_log_are_named(algd, run, field, value):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    last = json.loads(lines[-1]) | {field: value}
    (run / "metrics.jsonl").write_text("\n".join([*lines[:-1], json.dumps(last), ""]))
    code, _, err = algd("watch", run, "--once")
    assert code == 2
    assert err.startswith("algd: run/metrics.jsonl: the epoch of step 160")
    assert field in err


def test_huge_numbers_are_shown_in_a_line(algd, run):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    huge = dict.fromkeys(("eval_return", "eval_cost", "lam"), 1e308) | {"steps_per_second": 0}
    last = json.loads(lines[-1]) | huge
    (run / "metrics.jsonl").write_text(json.dumps(last) + "\n")
    code, out, _ = algd("watch", run, "--once")
    assert code == 0
    assert "return   1e+308" in out
    assert max(map(len, out.splitlines())) < 200
    assert _time(float("inf")) == _time(1e18) == _time(float("nan")) == "more than 30 years"


# Names.

TYPED = [
    ("train --env_steps 10", "--env-steps: got 10, allowed is more than the 5120 steps of warm-up"),
    ("train --env-steps=10", "--env-steps: got 10, allowed is more than the 5120 steps of warm-up"),
    ("train --resume none", "--resume: none is no run directory (it has no config.json)"),
    ("evaluate none", "run_dir: none is no run directory (it has no config.json)"),
]


@pytest.mark.parametrize(("command", "message"), TYPED)
def test_a_message_names_what_was_typed(algd, tmp_path, monkeypatch, command, message):
    monkeypatch.chdir(tmp_path)
    assert algd(*command.split()) == (2, "", f"algd: {message}\n")


def test_every_command_is_tried_here():
    completion.known_commands()
    for command in cli.COMMANDS:
        assert command in NEEDED or not whole_numbers(command)
        assert positionals(sys.modules[f"algd_jax.commands.{command}"].Arguments) is not None
