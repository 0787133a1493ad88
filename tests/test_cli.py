import io
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import algd_jax
from algd_jax import cli
from algd_jax.agents.algorithms import ALGORITHMS
from algd_jax.commands import envs
from algd_jax.commands.train import default_run_dir
from algd_jax.config import Config
from algd_jax.training import checkpoint
from tests.runs.support import (
    EPOCH,
    LAST_STEP,
    TINY_FLAGS,
    WARMUP,
    files,
    lost_output,
    probes,  # noqa: F401
    read_lines,
    without_clock,
)

PROBE = ["--env", "ActionProbe", *TINY_FLAGS]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, probes):  # noqa: F811
    """A finished tiny run, made by the command line."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert cli.main(["train", *PROBE, "--run-dir", str(folder)]) == 0
    return folder


def test_without_arguments_algd_says_what_can_be_done(algd):
    code, out, err = algd()
    assert (code, err) == (0, "")
    for command in cli.COMMANDS:
        assert f"algd {command}" in out
    assert algd("--help") == (code, out, err)


def test_version(algd):
    assert algd("--version") == (0, f"algd {algd_jax.__version__}\n", "")


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(algd, command):
    code, out, err = algd(command, "--help")
    assert (code, err) == (0, "")
    assert f"usage: algd {command}" in out


def test_train_help_explains_every_field_with_the_defaults_of_the_preset(algd):
    _, out, _ = algd("train", "--help", "--preset", "paper")
    flat = " ".join(out.replace("│", " ").split())
    assert "--batch-size INT B, transitions per update. (default: 256)" in flat
    assert "--rho FLOAT ρ, penalty of the augmented Lagrangian. (default: 1.0)" in flat
    assert "(default: None)" not in flat.split("--run-dir", 1)[0]


@pytest.mark.parametrize(
    ("line", "nearest"),
    [
        ("trian", "'train'"),
        ("reprot runs", "'report'"),
        ("train --batch_sise 8", "--batch-size?"),
        ("train --env PointButon1", "'PointButton1'"),
        ("train --algorithm agld", "'algd'"),
        ("train --preset quik", "'quick'"),
        ("train --diffusion dpm", "'ddpm'"),
        ("train --multiplier log_adm", "'log_adam'"),
        ("train --penalty fixd", "'fixed'"),
        ("train --compute float23", "'float32'"),
        ("train --on-bad-number stopp", "'stop'"),
        ("train --constraints cost_hazard", "'cost_hazards'"),
        ("train --log-to wanb", "'wandb'"),
        ("train --resume runs/x --env-step 9", "--env-steps?"),
        ("sweep --run-dir x --grid cost_limt=1", "cost_limit?"),
        ("sweep --run-dir x --sample rho=unifrom:1:2 --trials 2", "'uniform'"),
        ("sweep --run-dir x --executor slurm", "'slurm-script'"),
        ("sweep --run-dir x --search halving", "'successive-halving'"),
        ("evaluate runs --checkpoint bets", "'best'"),
        ("evaluate runs --episods 3", "--episodes?"),
        ("render runs --camera sid", "'side'"),
        ("play PointButon2", "'PointButton2'"),
        ("completion bsh", "'bash'"),
        ("benchmark updat", "'update'"),
    ],
)
def test_the_nearest_valid_name_is_suggested(algd, tmp_path, monkeypatch, line, nearest):
    monkeypatch.chdir(tmp_path)
    code, out, err = algd(*shlex.split(line))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert f"did you mean {nearest}" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["benchmark --quick=1", "compare a b --json=x", "envs --json="])
def test_a_switch_takes_no_value(algd, line):
    code, out, err = algd(*line.split())
    assert (code, out) == (2, "")
    assert err.endswith("allowed is the flag without a value\n")


def test_debug_shows_the_traceback(algd):
    code, _, err = algd("train", "--debug", "--env", "PointButon1")
    assert code == 2
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("algd: --env: unknown name 'PointButon1'")


def test_an_unforeseen_error_is_one_line_too(algd, monkeypatch):
    def fail(argv):
        raise OSError("disk full\nmore about it")

    monkeypatch.setattr(envs, "run", fail)
    assert algd("envs") == (1, "", "algd: disk full\n")


class Fails:
    """Raises where nobody can catch it."""

    def __init__(self, message):
        self.message = message

    def __del__(self):
        raise RuntimeError(self.message)


def test_what_a_failed_write_leaves_behind_is_not_shown(monkeypatch, capsys):
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    cli.prepare_jax()
    for message in ("Event loop is closed", "something else"):
        Fails(message)
    err = capsys.readouterr().err
    assert "something else" in err
    assert "Event loop" not in err


def test_what_an_unreadable_checkpoint_leaves_behind_is_not_shown():
    """Reading that failed may leave tasks nobody asks, and coroutines nobody runs."""
    script = (
        "import logging; from algd_jax.cli import prepare_jax; prepare_jax()\n"
        "async def forgotten(): pass\n"
        "forgotten(); logging.getLogger('asyncio').error('Task exception was never retrieved')"
    )
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert run.stderr == b""


def test_envs(algd):
    code, out, _ = algd("envs")
    assert code == 0
    row = next(line for line in out.splitlines() if "ActionProbe" in line)
    assert row.replace("|", " ").split() == ["ActionProbe", "2", "2", "8", "2", "0.1"]

    code, out, _ = algd("envs", "--json")
    specs = {spec["name"]: spec for spec in json.loads(out)}
    assert code == 0
    assert specs["PointButton1"]["cost_limit"] == 10.0
    assert specs["ActionProbe"]["episode_length"] == 8


def test_train_prints_plain_lines_and_what_to_do_next(algd, tmp_path):
    folder = tmp_path / "a run"
    code, out, err = algd("train", *PROBE, "--run-dir", folder, "--seed", "3")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert sum(line.startswith("step ") for line in lines) == 4
    assert any("95 % interval" in line for line in lines)
    for command in (f"algd evaluate '{folder}'", f"algd train --resume '{folder}' --env-steps 576"):
        assert f"  {command}" in lines
    config = json.loads((folder / "config.json").read_text())
    assert config["config"]["seed"] == 3
    assert config["command"][:4] == ["algd", "train", "--env", "ActionProbe"]


# Each with other rules, so that those run behind the command line too; ``algd`` runs elsewhere.
RULES = {
    "diffusion_lagrangian": ["--diffusion", "ddpm", "--multiplier", "projected_gradient"],
    "cal": ["--multiplier", "pid", "--penalty", "growing"],
    "sac_lagrangian": [],
    "sac": [],
}


@pytest.mark.parametrize(
    "algorithm",
    [
        # A third of a minute of compiling, and parts of what the others are made of.
        pytest.param(name, marks=[pytest.mark.slow] * name.endswith("_lagrangian"))
        for name in ALGORITHMS
        if name != "algd"
    ],
)
def test_every_algorithm_trains(algd, tmp_path, algorithm):
    flags = [*PROBE, "--algorithm", algorithm, "--env-steps", str(WARMUP + EPOCH)]
    code, _, err = algd("train", *flags, *RULES[algorithm], "--run-dir", tmp_path / "run")
    assert (code, err) == (0, "")
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert config["algorithm"] == algorithm
    assert len(read_lines(tmp_path / "run" / "metrics.jsonl")) == 1


def test_evaluate_json_is_exactly_one_object(algd, run_dir):
    code, out, err = algd("evaluate", run_dir, "--json", "--episodes", "3", "--seed", "9")
    assert (code, err) == (0, "")
    record = json.loads(out)
    kinds = {
        "env": str,
        "episodes": int,
        "return_mean": float,
        "return_std": float,
        "cost_mean": float,
        "cost_std": float,
        "cost_limit": float,
        "within_limit": float,
        "feasible": bool,
        "step": int,
    }
    assert {name: type(value) for name, value in record.items()} == kinds
    assert (record["env"], record["episodes"]) == ("ActionProbe", 3)
    assert record["feasible"] == (record["cost_mean"] <= record["cost_limit"])
    assert 0 <= record["within_limit"] <= 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("command", "phases"),
    [
        (["evaluate", "RUN", "--json"], ["compiling and playing episodes"]),
        (["landscape", "RUN", "--json", "--out", "OUT", "--points", "3"], ["drawing"]),
        (["report", "RUN", "--episodes", "0", "--out", "OUT"], ["drawing"]),
        (["compare", "RUN", "--json", "--out", "OUT"], ["reading runs", "bootstrapping"]),
        (["export", "RUN", "--json", "--out", "OUT"], ["compiling", "comparing"]),
    ],
)
def test_long_commands_show_on_a_terminal_what_they_do(
    run_dir, tmp_path, monkeypatch, capsys, command, phases
):
    places = {"RUN": str(run_dir), "OUT": str(tmp_path / "out")}
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert cli.main([places.get(word, word) for word in command]) == 0
    assert all(f"{phase}  0:0" in terminal.getvalue() for phase in phases)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out.isascii()
    assert "\x1b" not in out
    assert json.loads(out) if "--json" in command else out == f"{tmp_path / 'out'}\n"


def test_evaluate_says_which_policy_and_whether_it_is_feasible(algd, run_dir):
    code, out, _ = algd("evaluate", run_dir, "--checkpoint", "last")
    assert code == 0
    assert f"ActionProbe: last policy, trained for {LAST_STEP} steps; 5 episodes" in out
    _, figures, _ = algd("evaluate", run_dir, "--checkpoint", "last", "--json")
    feasible = json.loads(figures)["feasible"]
    verdict = "feasible: mean cost <= 2;" if feasible else "NOT feasible: mean cost > 2;"
    assert any(line.startswith(verdict) for line in out.splitlines())


WICKED = "import pathlib; pathlib.Path('executed').touch()"


@pytest.mark.parametrize(
    "command", [["evaluate"], ["landscape"], ["train", "--env-steps", "999", "--resume"]]
)
def test_a_run_directory_cannot_have_code_imported(algd, run_dir, tmp_path, monkeypatch, command):
    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder)
    record = json.loads((folder / "config.json").read_text())
    record["config"]["env"] = "wicked:make"
    (folder / "config.json").write_text(json.dumps(record))
    (tmp_path / "wicked.py").write_text(WICKED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "wicked", raising=False)

    code, out, err = algd(*command, "run")

    assert (code, out) == (2, "")
    assert err == (
        "algd: env: run was trained on 'wicked:make', which is code to import; "
        "if you trust it, add --env wicked:make\n"
    )
    assert not (tmp_path / "executed").exists()
    algd(*command, "run", "--env", "wicked:make")
    assert (tmp_path / "executed").exists()


def test_what_to_do_next_names_code_again(algd, tmp_path):
    flags = ["--env", "tests.probes:ActionProbe", *TINY_FLAGS, "--env-steps", str(WARMUP + EPOCH)]
    code, out, err = algd("train", *flags, "--run-dir", tmp_path / "run")
    assert (code, err) == (0, "")
    lines = [line.strip() for line in out.splitlines() if line.startswith("  algd ")]
    assert len(lines) == 2
    for line in lines:
        code, _, err = algd(*shlex.split(line)[1:])
        assert (code, err) == (0, "")


def test_a_finished_run_resumes_only_with_more_steps(algd, run_dir):
    before = files(run_dir)
    code, _, err = algd("train", "--resume", run_dir)
    assert code == 2
    assert err.startswith(f"algd: env_steps: got {LAST_STEP}")
    code, _, err = algd("train", "--resume", run_dir, "--rho", "2")
    assert code == 2
    assert "only --env-steps may be given" in err
    assert files(run_dir) == before


def test_a_run_that_fails_exits_with_one(algd, tmp_path):
    flags = ["--env", "BrokenProbe", *TINY_FLAGS, "--run-dir", tmp_path / "run"]
    code, _, err = algd("train", *flags)
    assert code == 1
    assert err.startswith("algd: reward is NaN or infinite at environment step 20, environment 0;")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("env", "text"), [("ActionProbe", "ActionProbe"), ("a.b:c", "a.b.c")])
def test_default_run_directory_names_the_run(env, text):
    config = Config(env=env, seed=4)
    assert str(default_run_dir(config)).startswith(f"runs/{text}-algd-quick-seed4-2")


@pytest.fixture
def start_endless_run():
    """``algd train`` in a process of its own, returned once an epoch is complete."""
    started = []

    def start(folder, prelude=""):
        script = (
            f"{prelude}import sys; from algd_jax.envs import registry; "
            "from tests.runs.support import PROBES; "
            "registry._FACTORIES.update(PROBES); from algd_jax.cli import main; sys.exit(main())"
        )
        argv = ["train", *PROBE, "--env-steps", "10000000", "--run-dir", str(folder)]
        process = subprocess.Popen(
            [sys.executable, "-c", script, *argv],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "PYTHONPATH": "."},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        for line in process.stdout:
            if line.startswith("step "):
                return process
        raise AssertionError(process.stderr.read())

    yield start
    for process in started:
        process.kill()  # Of a test that failed it would go on for hours.
        process.wait()


def test_ctrl_c_leaves_a_run_to_resume(algd, tmp_path, start_endless_run):
    folder = tmp_path / "run"
    process = start_endless_run(folder)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "stopping after this epoch" in out
    assert f"algd train --resume {folder}" in out

    step = checkpoint.latest(folder / "checkpoints" / "state")
    code, _, _ = algd("train", "--resume", folder, "--env-steps", step + EPOCH)
    assert code == 0
    steps = [record["step"] for record in read_lines(folder / "metrics.jsonl")]
    assert steps == list(range(WARMUP + EPOCH, step + EPOCH + 1, EPOCH))
    assert checkpoint.latest(folder / "checkpoints" / "state") == step + EPOCH

    whole = tmp_path / "whole"
    code, _, _ = algd("train", *PROBE, "--env-steps", step + EPOCH, "--run-dir", whole)
    assert code == 0
    assert (folder / "evaluation.json").read_text() == (whole / "evaluation.json").read_text()
    assert without_clock(read_lines(folder / "metrics.jsonl")) == without_clock(
        read_lines(whole / "metrics.jsonl")
    )


def test_a_preemption_notice_leaves_a_run_to_resume(tmp_path, start_endless_run):
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    join = f"import jax; jax.distributed.initialize('localhost:{port}', 1, 0); "
    process = start_endless_run(tmp_path / "run", join)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert f"algd train --resume {tmp_path / 'run'}" in out
    assert checkpoint.latest(tmp_path / "run" / "checkpoints" / "state") is not None


def test_ctrl_c_leaves_a_run_to_resume_even_if_nobody_reads_its_output(tmp_path, start_endless_run):
    process = start_endless_run(tmp_path / "run")
    process.stdout.close()  # As in ``algd train | tee log``, where Ctrl-C ends tee at once.
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    with process.stderr as errors:
        assert errors.read() == ""
    assert checkpoint.latest(tmp_path / "run" / "checkpoints" / "state") is not None


@pytest.mark.parametrize("argv", [["envs"], ["envs", "--json"]])
def test_output_that_nobody_reads_is_no_error(argv):
    with lost_output():
        assert cli.main(argv) == 0


def test_a_second_ctrl_c_ends_at_once(tmp_path, start_endless_run):
    folder = tmp_path / "run"
    process = start_endless_run(folder)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in (130, 143)  # Two pending signals come in any order.
    assert checkpoint.latest(folder / "checkpoints" / "state") is None


def test_help_comes_without_loading_the_simulator():
    script = (
        "import sys; from algd_jax.cli import main; main(['--help']); "
        "assert 'mujoco' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_training_begins_without_what_only_pictures_and_statistics_need():
    script = (
        "import sys; from algd_jax.cli import prepare_jax; prepare_jax(); "
        "import algd_jax.commands.train; "
        "assert not {'matplotlib', 'scipy.stats', 'gymnasium', 'pandas'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_point_button_trains_evaluates_and_resumes(algd, tmp_path):
    folder = tmp_path / "run"
    sizes = ["--num-envs", "2", "--env-steps", "400", "--epoch-steps", "160"]
    sizes += ["--eval-episodes", "1", "--final-eval-episodes", "1", "--replay-capacity", "500"]
    code, out, err = algd("train", *TINY_FLAGS, *sizes, "--run-dir", folder)
    assert (code, err) == (0, "")
    assert "PointButton1" in out
    code, out, _ = algd("evaluate", folder, "--json", "--episodes", "1")
    assert (code, json.loads(out)["cost_limit"]) == (0, 10.0)
    code, _, _ = algd("train", "--resume", folder, "--env-steps", "600")
    assert code == 0
