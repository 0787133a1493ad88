"""Bad input of every kind, and the one line that answers it.

Whatever is wrong, in the arguments or in the folder of a run, a command says so in one line that
names it and what is allowed, exits with 2 (1 where it is a checkpoint that is damaged), prints
nothing else and changes nothing on disk.
"""
# ruff: noqa: E501  The tables have one case on a line, as do the messages on a terminal.

import json
import math
import os
import re
import shlex
import shutil
import types
from pathlib import Path

import numpy
import psutil
import pytest

from algd_jax import cli
from algd_jax.envs import list_envs
from algd_jax.runs.benchmark import load_benchmarks
from tests.runs.support import TINY_FLAGS, probes  # noqa: F401

LAST_STEP = 160
SHORTHANDS = {
    "PROBE": shlex.join(["--env=ActionProbe", *TINY_FLAGS]),
    "PARTS": shlex.join(["--env=PartsProbe", *TINY_FLAGS]),
    "LONG": "x" * 300,
}
HUGE = 2**40  # Sparse: takes no place, but nobody may read it.
HUGE_ARRAY = b"\x93NUMPY\x01\x00v\x00" + b"%-117s\n" % (
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }"
)

# In the messages below, NUMBER is any number, and lists of names stand for themselves.
NAMES = {
    "ENVS": list_envs,
    "COMMANDS": lambda: cli.COMMANDS,
    "BENCHMARKS": lambda: sorted(load_benchmarks().NAMES),
}


# What can happen to a folder: each returns what does it to the folder ``run``.


def missing(name):
    return lambda run: remove(run / name)


def content(name, data):
    def write(run):
        path = run.parent / name if name == "state.npy" else run / name
        remove(path)
        path.write_bytes(data)

    return write


def everywhere(name, data):
    def write(run):
        for path in run.rglob(name):
            path.write_bytes(data)

    return write


def huge(name):
    def grow(run):
        (run / name).touch()
        os.truncate(run / name, HUGE)

    return grow


def folder(name):
    def make(run):
        remove(run / name)
        (run / name).mkdir()

    return make


def pipe(name):
    def make(run):
        remove(run / name)
        os.mkfifo(run / name)

    return make


def link(name, target):
    def make(run):
        remove(run / name)
        (run / name).symlink_to(target)

    return make


def array(values):
    return lambda run: numpy.save(run.parent / "state.npy", values)


def line(data):
    """The first line of the log."""

    def write(run):
        path = run / "metrics.jsonl"
        _, rest = path.read_bytes().split(b"\n", 1)
        path.write_bytes(data + b"\n" + rest)

    return write


def epoch(**fields):
    """Fields of the first epoch in the log."""

    def write(run):
        first = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
        line(json.dumps(first | fields).encode())(run)

    return write


def record(**fields):
    """Fields of ``config.json`` itself."""

    def write(run):
        path = run / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return write


def config(**fields):
    """Fields of the configuration, wherever they are in it."""

    def write(run):
        whole = json.loads((run / "config.json").read_text())["config"]
        for name, value in fields.items():
            groups = [group for group in whole.values() if isinstance(group, dict)]
            (next((group for group in groups if name in group), whole))[name] = value
        record(config=whole)(run)

    return write


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# fmt: off

ARGUMENTS = [
    # Commands and flags.
    ("trian", "unknown command 'trian'; allowed: COMMANDS; did you mean 'train'?"),
    ("evaluat run", "unknown command 'evaluat'; allowed: COMMANDS; did you mean 'evaluate'?"),
    ("42", "unknown command '42'; allowed: COMMANDS"),
    ("train --rhoo 3", "--rhoo: unknown flag; did you mean --rho?"),
    ("train --colour red", "--colour: unknown flag; see --help for all flags"),
    ("train again", "unexpected argument 'again'"),
    ("train -x", "unexpected argument '-x'"),
    ("train --batch-size", "--batch-size: value is missing, allowed is an integer"),
    ("train --batch-size 1.5", "--batch-size: got '1.5', allowed is an integer"),
    ("train --rho=abc", "--rho: got 'abc', allowed is a number"),
    ("train --rho 1 --rho", "--rho: value is missing, allowed is a number"),
    ("train --seed 1 2", "unexpected argument '2'"),
    ("train --no-seed", "--no-seed: unknown flag; did you mean --seed?"),
    ("train --goal-terminates=3", "--goal-terminates: got '3', allowed is the flag without a value"),
    # Names.
    ("train --env PointButon1", "--env: unknown name 'PointButon1'; allowed: ENVS; did you mean 'PointButton1'?"),
    ("train --env ''", "--env: unknown name ''; allowed: ENVS"),
    ("train --env nowhere:make", "--env: cannot import 'nowhere:make': No module named 'nowhere'"),
    ("train --env :make", "--env: cannot import ':make': Empty module name"),
    ("train --env json:loads", "--env: cannot build 'json:loads': missing a required argument: 's'"),
    ("train --env os:path", "--env: 'os:path' is a module, expected a function"),
    ("train --env os:getcwd", "--env: 'os:getcwd' built a str, expected a SafetyEnv"),
    ("train --algorithm aldg", "--algorithm: unknown name 'aldg'; allowed: algd, cal, diffusion_lagrangian, sac, sac_lagrangian; did you mean 'algd'?"),
    ("train --preset quik", "--preset: unknown name 'quik'; allowed: paper, quick, throughput; did you mean 'quick'?"),
    ("train --multiplier none", "--multiplier: unknown name 'none'; allowed: log_adam, pid, projected_gradient"),
    ("train --penalty shrinking", "--penalty: unknown name 'shrinking'; allowed: fixed, growing; did you mean 'growing'?"),
    ("train --diffusion vp", "--diffusion: unknown name 'vp'; allowed: ddpm, ve; did you mean 've'?"),
    ("train --compute float16", "--compute: unknown name 'float16'; allowed: bfloat16, float32; did you mean 'bfloat16'?"),
    # Sizes and numbers.
    ("train --num-envs 0", "--num-envs: got 0, allowed is an integer >= 1"),
    ("train --chain-steps -2", "--chain-steps: got -2, allowed is an integer >= 1"),
    ("train --chain-steps 99999999999999999999", "--chain-steps: got 99999999999999999999, allowed is at most 10000"),
    ("train --critic-layers 1000000", "--critic-layers: got 1000000, allowed is at most 100"),
    ("train --keep-last 0", "--keep-last: got 0, allowed is an integer >= 1"),
    ("train --seed -1", "--seed: got -1, allowed is an integer in [0, 2**32)"),
    ("train --seed 100000000000000000000", "--seed: got 100000000000000000000, allowed is an integer in [0, 2**32)"),
    ("train --env-steps 3000000000", "--env-steps: got 3000000000, allowed is at most 2147483647"),
    ("train --env-steps 2147483647", "--env-steps: got 2147483647, allowed is at most 2147458047 (steps are counted in 32 bits)"),
    ("train --env-steps 10", "--env-steps: got 10, allowed is more than the 5120 steps of warm-up"),
    ("train PROBE --updates-per-step 100000000", "--updates-per-step: got 100000000, allowed is at most 2147483647 updates in the run (counted in 32 bits), not 6400000000"),
    ("train --batch-size 65 --replay-capacity 64", "--batch-size: got 65, allowed is at most replay_capacity = 64"),
    ("train --num-envs 600 --replay-capacity 1000", "--num-envs: got 600, allowed is at most half of replay_capacity = 1000"),
    ("train --cost-limit -1", "--cost-limit: got -1.0, allowed is a finite number >= 0"),
    ("train --cost-limit nan", "--cost-limit: got nan, allowed is a finite number >= 0"),
    ("train --cost-limit", "--cost-limit: got (), allowed is one number, for cost"),
    ("train --rho nan", "--rho: got nan, allowed is a finite number > 0"),
    ("train --rho 1e39", "--rho: got 1e+39, allowed is a finite number > 0"),
    ("train --discount 0.99999999999", "--discount: got 0.99999999999, allowed is a number in [0, 1)"),
    ("train --sigma-min 2", "--sigma-min: got 2.0, allowed is a number below sigma_max = 0.5"),
    ("train --eval-episodes 1000000000", "--eval-episodes: got 1000000000, which does not fit in memory: the run needs NUMBER GiB (NUMBER GiB of it for this, 0.50 GiB a fixed allowance), 8.00 GiB is available"),
    ("train --critic-width 1000000", "--critic-width: got 1000000, which does not fit in memory: the run needs NUMBER GiB (NUMBER GiB of it for this, 0.50 GiB a fixed allowance), 8.00 GiB is available"),
    ("train --on-bad-number retry", "--on-bad-number: unknown name 'retry'; allowed: restore, skip-update, stop; did you mean 'restore'?"),
    ("train --on-bad-number restore --checkpoint-epochs 0", "--on-bad-number: got restore, allowed is restore only with checkpoint_epochs >= 1, so that there is what to restore"),
    ("train --lam-bound 0", "--lam-bound: got 0.0, allowed is a finite number > 0"),
    ("train --value-bound nan", "--value-bound: got nan, allowed is a finite number > 0"),
    # Constraints.
    ("train PARTS --constraints cost_lo", "--constraints: unknown name 'cost_lo'; allowed: cost, cost_high, cost_low; did you mean 'cost_low'?"),
    ("train PROBE --constraints cost_hazards", "--constraints: unknown name 'cost_hazards'; allowed: cost; did you mean 'cost'?"),
    ("train PARTS --constraints", "--constraints: got none, allowed is at least one name"),
    ("train PARTS --constraints cost_low cost_high", "cost_limit: got 2.0, allowed is 2 numbers, one each for cost_low, cost_high"),
    ("train PARTS --constraints cost_low --cost-limit 1 2", "--cost-limit: got (1.0, 2.0), allowed is one number, for cost_low"),
    ("train PARTS --constraints cost_low cost_low --cost-limit 1 2", "--constraints: got 'cost_low' twice, allowed is each name once"),
    ("train PARTS --constraints cost_low cost_high --cost-limit 1 -2", "--cost-limit: got -2.0, allowed is a finite number >= 0"),
    ("train PARTS --constraints cost_low cost_high --cost-limit 1 inf", "--cost-limit: got inf, allowed is a finite number >= 0"),
    ("train PARTS --cost-limit 1 two --constraints cost_low", "--cost-limit: got 'two', allowed is a number"),
    # Folders of new runs.
    ("train --run-dir", "--run-dir: value is missing, allowed is a path"),
    ("train --run-dir run", "--run-dir: run is not empty, allowed is a new or empty directory (or `algd train --resume` to continue a run)"),
    ("train --run-dir run/config.json", "--run-dir: run/config.json is a file, allowed is a new or empty directory (or `algd train --resume` to continue a run)"),
    ("train --run-dir run/config.json/new", "--run-dir: run/config.json/new is below a file, allowed is a new or empty directory (or `algd train --resume` to continue a run)"),
    ("train --run-dir LONG", "--run-dir: LONG cannot be written (File name too long), allowed is a new or empty directory (or `algd train --resume` to continue a run)"),
    ("train --physics mjx --env ActionProbe", "option of ActionProbe: unknown name 'physics'; allowed: cost_limit, episode_length, observation_size"),
    ("train --reward-head quantile", "--reward-head: unknown name 'quantile'; allowed: categorical, mean"),
    ("train --physics brax --env Hopper", "--physics: unknown name 'brax'; allowed: auto, mjx, mujoco"),
    ("train --random-start --env ActionProbe", "option of ActionProbe: unknown name 'random_start'; allowed: cost_limit, episode_length, observation_size"),
    # Resuming.
    ("train --resume", "--resume: value is missing, allowed is a path"),
    ("train --resume none", "--resume: none is no run directory (it has no config.json)"),
    ("train --resume run/checkpoints", "--resume: run/checkpoints is no run directory (it has no config.json)"),
    ("train --resume run", "env_steps: got 160, but run has made 160 steps already; allowed is a number > 160"),
    ("train --resume run --env-steps 100", "--env-steps: got 100, but run has made 160 steps already; allowed is a number > 160"),
    ("train --resume run --env-steps 1e3", "--env-steps: got '1e3', allowed is an integer (a resumed run keeps its configuration; only --env-steps may be given)"),
    ("train --resume run --env-steps 99999999999", "--env-steps: got 99999999999, allowed is at most 2147483647"),
    ("train --resume run --rho 2", "--rho: unknown flag; see --help for all flags (a resumed run keeps its configuration; only --env-steps may be given)"),
    ("train --resume run --env-steps 999 --env PointButton1", "--env: got 'PointButton1', but run was trained on 'ActionProbe'"),
    ("train --resume run --env-steps 999 --run-dir other", "--run-dir: unknown flag; see --help for all flags (a resumed run keeps its configuration; only --env-steps may be given)"),
    # Evaluating.
    ("evaluate", "run_dir is missing"),
    ("evaluate none", "run_dir: none is no run directory (it has no config.json)"),
    ("evaluate run/config.json", "run_dir: run/config.json is no run directory (it has no config.json)"),
    ("evaluate LONG", "run_dir: LONG cannot be read (File name too long)"),
    ("evaluate run run", "unexpected argument 'run'"),
    ("evaluate run --checkpoint x", "--checkpoint: got 'x', allowed is best or last"),
    ("evaluate run --episodes 0", "--episodes: got 0, allowed is an integer from 1 to 100000"),
    ("evaluate run --episodes many", "--episodes: got 'many', allowed is an integer"),
    ("evaluate run --seed 100000000000000000000", "--seed: got 100000000000000000000, allowed is an integer in [0, 2**32)"),
    ("evaluate run --env nowhere:make", "--env: got 'nowhere:make', but run was trained on 'ActionProbe'"),
    ("evaluate run --json=yes", "--json: got 'yes', allowed is the flag without a value"),
    # Landscapes.
    ("landscape", "run_dir is missing"),
    ("landscape none", "run_dir: none is no run directory (it has no config.json)"),
    ("landscape run --points 1", "--points: got 1, allowed is an integer from 2 to 1000"),
    ("landscape run --points 1000000000", "--points: got 1000000000, allowed is an integer from 2 to 1000"),
    ("landscape run --actions 0", "--actions: got 0, allowed is an integer from 1 to 100000"),
    ("landscape run --reach nan", "--reach: got nan, allowed is a finite number > 0"),
    ("landscape run --directions 0,0", "--directions: got '0,0', allowed is a pair of different action dimensions 0 to 1, such as 0,1, or random"),
    ("landscape run --directions 0,2", "--directions: got '0,2', allowed is a pair of different action dimensions 0 to 1, such as 0,1, or random"),
    ("landscape run --directions up", "--directions: got 'up', allowed is a pair of different action dimensions 0 to 1, such as 0,1, or random"),
    ("landscape run --step 8", "--step: got 8, allowed is an integer from 0 to 7"),
    ("landscape run --step -1", "--step: got -1, allowed is an integer from 0 to 7"),
    ("landscape run --seed -1", "--seed: got -1, allowed is an integer in [0, 2**32)"),
    ("landscape run --step 1 --state state.npy", "--state: got a file beside --step, allowed is one of them"),
    ("landscape run --state state.npy", "--state: state.npy is no readable .npy file"),
    ("landscape run --state run", "--state: run is no readable .npy file"),
    ("landscape run --state run/config.json", "--state: run/config.json is no readable .npy file"),
    ("landscape run --checkpoint worst", "--checkpoint: got 'worst', allowed is best or last"),
    ("landscape run --out run/config.json", "--out: run/config.json is no folder"),
    # Reproducing.
    ("reproduce", "run_dir is missing"),
    ("reproduce none", "run_dir: none is no run directory (it has no config.json)"),
    ("reproduce run --epochs 0", "--epochs: got 0, allowed is an integer from 1 to 2"),
    ("reproduce run --epochs 3", "--epochs: got 3, allowed is an integer from 1 to 2"),
    ("reproduce run --epochs all", "--epochs: got 'all', allowed is an integer"),
    ("reproduce run --seed 1", "--seed: unknown flag; see --help for all flags"),
    ("reproduce run --env x:y", "--env: got 'x:y', but run was trained on 'ActionProbe'"),
    # Comparisons.
    ("compare", "folders: got none, allowed are sweep directories and run directories"),
    ("compare none", "folders: none is no folder, allowed is a sweep directory (it has results.csv) or a run directory (it has config.json)"),
    ("compare run/checkpoints", "folders: run/checkpoints is neither, allowed is a sweep directory (it has results.csv) or a run directory (it has config.json)"),
    ("compare LONG", "folders: LONG cannot be read (File name too long)"),
    ("compare run run/../run", "folders: got run twice, allowed is each folder once"),
    ("compare run --html", "--html: needs a folder for the page: add --out FOLDER"),
    ("compare run --out", "--out: value is missing, allowed is a path"),
    ("compare run --out run", "--out: run is not empty, allowed is a new or empty folder"),
    ("compare run --out run/config.json", "--out: run/config.json is a file, allowed is a new or empty folder"),
    ("compare run --out run/config.json/below", "--out: run/config.json is no folder that can be written to"),
    ("compare run --jsn", "--jsn: unknown flag; did you mean --json?"),
    # Exporting, reporting, watching and sweeping.
    ("render", "run_dir is missing"),
    ("render none", "run_dir: none is no run directory (it has no config.json)"),
    ("render run --out x.txt", "--out: got 'x.txt', allowed is a file that ends in .mp4, .gif, .html or .png"),
    ("render run --episodes 0", "--episodes: got 0, allowed is an integer from 1 to 100"),
    ("render run --out outside", "--out: got 'outside', allowed is a file that ends in .mp4, .gif, .html or .png"),
    ("play", "env is missing"),
    ("play Nowhere", "env: unknown name 'Nowhere'; allowed: ENVS"),
    ("play PointButton1 --episodes many", "--episodes: got 'many', allowed is an integer"),
    ("play PointButton1 --out x.txt", "--out: got 'x.txt', allowed is a file that ends in .mp4, .gif, .html or .png"),
    ("play PointButton1 --policy none", "run_dir: none is no run directory (it has no config.json)"),
    ("export", "run_dir is missing"),
    ("report", "folder is missing"),
    ("report none", "folder: none is no run directory (it has no config.json) and no sweep directory (it has no results.csv)"),
    ("export --pretrained", "--pretrained: value is missing, allowed is the name of a task"),
    ("report run --episodes many", "--episodes: got 'many', allowed is an integer"),
    ("watch", "run_dir is missing"),
    ("watch none", "run_dir: none is no run directory (it has no config.json)"),
    ("watch run --ones", "--ones: unknown flag; did you mean --once?"),
    ("sweep", "--run-dir: is missing, allowed is the folder of the sweep"),
    ("sweep --run-dir new --seeds 0", "--seeds: got 0, allowed is an integer >= 1"),
    ("sweep --run-dir new --seeds 1000000", "--seeds: got 1000000, allowed is at most 100000"),
    ("sweep --run-dir new --members 0", "--members: got 0, allowed is an integer >= 1"),
    ("sweep --run-dir new --grid rho=1,x", "--grid rho: got 'x', allowed is a finite number"),
    ("sweep --run-dir new --grid rhoo=1", "--grid rhoo: unknown field; did you mean rho?"),
    ("sweep --run-dir new --sample rho=uniform:0:1", "--trials: is missing, allowed with --sample is an integer >= 1"),
    ("sweep --run-dir new --executor cloud", "--executor: got 'cloud', allowed is local or slurm-script or ray"),
    # Comparing.
    ("compare", "folders: got none, allowed are sweep directories and run directories"),
    ("compare none", "folders: none is no folder, allowed is a sweep directory (it has results.csv) or a run directory (it has config.json)"),
    ("compare run --jsn", "--jsn: unknown flag; did you mean --json?"),
    # Exports.
    ("export none", "run_dir: none is no run directory (it has no config.json)"),
    ("export run/checkpoints", "run_dir: run/checkpoints is no run directory (it has no config.json)"),
    ("export run outside", "unexpected argument 'outside'"),
    ("export run --out", "--out: value is missing, allowed is a path"),
    ("export run --out outside", "--out: outside is not empty, allowed is a new or empty folder"),
    ("export run --out run/config.json", "--out: run/config.json is a file, allowed is a new or empty folder"),
    ("export run --out LONG", "--out: LONG cannot be written (File name too long)"),
    ("export run --checkpoint first", "--checkpoint: got 'first', allowed is best or last"),
    ("export run --env x:y", "--env: got 'x:y', but run was trained on 'ActionProbe'"),
    # Environments, the machine and benchmarks.
    ("envs --jsn", "--jsn: unknown flag; did you mean --json?"),
    ("envs PointButton1", "unexpected argument 'PointButton1'"),
    ("doctor now", "unexpected argument 'now'"),
    ("doctor --jsn", "--jsn: unknown flag; did you mean --json?"),
    ("benchmark updat", "benchmark: unknown name 'updat'; allowed: BENCHMARKS; did you mean 'update'?"),
    ("benchmark --quick=1", "--quick: got '1', allowed is the flag without a value"),
    ("completion", "shell is missing"),
    ("completion tcsh", "shell: got 'tcsh', allowed is bash or zsh or fish; did you mean 'zsh'?"),
    ("completion bash --shel", "--shel: unknown flag; did you mean --help?"),
    ("train --log-to wanb", "--log-to: got 'wanb', allowed is wandb or mlflow; did you mean 'wandb'?"),
    ("benchmark update --jsn", "--jsn: unknown flag; did you mean --json?"),
    ("benchmark update --json", "--json: value is missing, allowed is a path"),
    ("benchmark update --quick env", "unexpected argument 'env'"),
    ("benchmark update --json run/config.json", "--json: run/config.json exists, allowed is a new file"),
    ("benchmark --json run", "--json: run exists, allowed is a new file"),
    ("benchmark --json no/file", "--json: no/file cannot be written (No such file or directory)"),
]

FOLDERS = [
    # A comparison reads logs and tables, never checkpoints.
    (content("config.json", b"{"), "compare run", "run/config.json: not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    (line(b"nothing"), "compare run", "run/metrics.jsonl: line 1 is no epoch of a run"),
    (missing("evaluation.json"), "compare run", "folders: no finished run to compare (1 unfinished)"),
    (missing("metrics.jsonl"), "compare run", "folders: no finished run to compare (1 without an evaluation)"),
    (content("results.csv", b""), "compare run", "run/results.csv: cannot be read as a table: No columns to parse from file"),
    (content("results.csv", b"trial,env\n"), "compare run", "run/results.csv: missing column 'algorithm'"),
    (huge("results.csv"), "compare run", "run/results.csv: larger than 1073741824 bytes"),
    # config.json: no file, no text, no JSON, no record.
    (missing("config.json"), "evaluate run", "run_dir: run is no run directory (it has no config.json)"),
    (folder("config.json"), "evaluate run", "run_dir: run is no run directory (it has no config.json)"),
    (pipe("config.json"), "landscape run", "run_dir: run is no run directory (it has no config.json)"),
    (content("config.json", b""), "evaluate run", "run/config.json: not valid JSON: Expecting value: line 1 column 1 (char 0)"),
    (content("config.json", b"{"), "evaluate run", "run/config.json: not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    (content("config.json", b"\xff"), "evaluate run", "run/config.json: not valid JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    (content("config.json", b"[" * 100_000), "evaluate run", "run/config.json: nested too deeply"),
    (content("config.json", b"9" * 5_000), "evaluate run", "run/config.json: holds a number of too many digits"),
    (content("config.json", b"[]"), "evaluate run", "run/config.json: format_version: got None, allowed is 4 to 7"),
    (huge("config.json"), "evaluate run", "run/config.json: larger than 1048576 bytes"),
    (record(format_version=3), "evaluate run", "run/config.json: format_version: got 3, allowed is 4 to 7"),
    (record(format_version="\x1b[2J"), "evaluate run", "run/config.json: format_version: got '\\x1b[2J', allowed is 4 to 7"),
    (record(format_version="long" * 1000), "evaluate run", "run/config.json: format_version: got 'longlonglonglonglonglonglonglonglongl...nglonglonglonglonglonglonglonglonglong', allowed is 4 to 7"),
    (record(config=3), "evaluate run", "run/config.json: missing field 'config'"),
    (record(resumed={}), "train --resume run", "run/config.json: missing field 'resumed'"),
    # config.json: a configuration that is none.
    (config(colour="red"), "evaluate run", "run/config.json: unknown field 'colour' in Config"),
    (config(**{"\x1b[2J": 1}), "evaluate run", "run/config.json: unknown field '\\x1b[2J' in Config"),
    (config(preset="\x1b]0;x\x07"), "landscape run", "run/config.json: preset: got '\\x1b]0;x\\x07', allowed is printable text"),
    (config(env=3), "evaluate run", "run/config.json: env: got 3, allowed is str"),
    (config(env="Nowhere"), "evaluate run", "env: unknown name 'Nowhere'; allowed: ENVS"),
    (config(env="os:system"), "evaluate run", "env: run was trained on 'os:system', which is code to import; if you trust it, add --env os:system"),
    (config(env="os:system"), "train --resume run --env-steps 999", "env: run was trained on 'os:system', which is code to import; if you trust it, add --env os:system"),
    (config(env="os:system"), "report run", "env: run was trained on 'os:system', which is code to import; if you trust it, add --env os:system"),
    (config(env="os:system"), "reproduce run", "env: run was trained on 'os:system', which is code to import; if you trust it, add --env os:system"),
    (config(env="os:system"), "landscape run", "env: run was trained on 'os:system', which is code to import; if you trust it, add --env os:system"),
    (config(algorithm="ppo"), "evaluate run", "algorithm: unknown name 'ppo'; allowed: algd, cal, diffusion_lagrangian, sac, sac_lagrangian"),
    (config(seed=True), "evaluate run", "run/config.json: seed: got True, allowed is int"),
    (config(seed=-1), "evaluate run", "seed: got -1, allowed is an integer in [0, 2**32)"),
    (config(loop=[]), "evaluate run", "run/config.json: loop: got [], allowed is LoopConfig"),
    (config(num_envs="4"), "evaluate run", "run/config.json: num_envs: got '4', allowed is int"),
    (config(num_envs=4.5), "evaluate run", "run/config.json: num_envs: got 4.5, allowed is int"),
    (config(num_envs=10**30), "evaluate run", "num_envs: got 1000000000000000000000000000000, allowed is at most 2147483647"),
    (config(num_envs=[[[[[[[[1]]]]]]]]), "evaluate run", "run/config.json: num_envs: got [[[[[[[...]]]]]]], allowed is int"),
    (config(eval_episodes=10**9), "evaluate run", "eval_episodes: got 1000000000, which does not fit in memory: the run needs NUMBER GiB (NUMBER GiB of it for this, 0.50 GiB a fixed allowance), 8.00 GiB is available"),
    (config(eval_episodes=10**9), "landscape run", "eval_episodes: got 1000000000, which does not fit in memory: the run needs NUMBER GiB (NUMBER GiB of it for this, 0.50 GiB a fixed allowance), 8.00 GiB is available"),
    (config(eval_episodes=10**9), "train --resume run --env-steps 999", "eval_episodes: got 1000000000, which does not fit in memory: the run needs NUMBER GiB (NUMBER GiB of it for this, 0.50 GiB a fixed allowance), 8.00 GiB is available"),
    (config(critic_width=10**9), "evaluate run", "critic_width: got 1000000000, which does not fit in memory: the run needs NUMBER GiB (NUMBER GiB of it for this, 0.50 GiB a fixed allowance), 8.00 GiB is available"),
    (config(actor_layers=10**6), "evaluate run", "actor_layers: got 1000000, allowed is at most 100"),
    (config(multiplier="none"), "evaluate run", "multiplier: unknown name 'none'; allowed: log_adam, pid, projected_gradient"),
    (config(on_bad_number="hide"), "evaluate run", "on_bad_number: unknown name 'hide'; allowed: restore, skip-update, stop"),
    (config(rho=float("nan")), "evaluate run", "rho: got nan, allowed is a finite number > 0"),
    (config(rho=10**400), "evaluate run", "run/config.json: rho: got 10000000000000000000000000000000000000...000000000000000000000000000000000000000, allowed is float"),
    (config(cost_limit=[1.0, "2"]), "evaluate run", "run/config.json: cost_limit: got [1.0, '2'], allowed is float | tuple[float, ...]"),
    (config(constraints=[]), "evaluate run", "constraints: got none, allowed is at least one name"),
    (config(constraints=["cost_hazards"]), "evaluate run", "constraints: unknown name 'cost_hazards'; allowed: cost; did you mean 'cost'?"),
    # metrics.jsonl.
    (line(b"nonsense"), "train --resume run --env-steps 999", "run/metrics.jsonl: line 1 is no epoch of a run"),
    (line(b"[]"), "train --resume run --env-steps 999", "run/metrics.jsonl: line 1 is no epoch of a run"),
    (line(b"{}"), "train --resume run --env-steps 999", "run/metrics.jsonl: line 1 is no epoch of a run"),
    (line(b"\xff\xfe"), "train --resume run --env-steps 999", "run/metrics.jsonl: line 1 is no epoch of a run"),
    (line(b"[" * 100_000), "train --resume run --env-steps 999", "run/metrics.jsonl: line 1 is no epoch of a run"),
    (epoch(step="160"), "train --resume run --env-steps 999", "run/metrics.jsonl: line 1 is no epoch of a run"),
    (epoch(step=-1), "train --resume run --env-steps 999", "run/metrics.jsonl: line 1 is no epoch of a run"),
    (epoch(lam=[1]), "train --resume run --env-steps 999", "run/metrics.jsonl: line 1 is no epoch of a run"),
    (epoch(lam=float("nan")), "train --resume run --env-steps 999", "run/metrics.jsonl: line 1 is no epoch of a run"),
    (epoch(lam=10**400), "train --resume run --env-steps 999", "run/metrics.jsonl: line 1 is no epoch of a run"),
    (folder("metrics.jsonl"), "train --resume run --env-steps 999", "--resume: run/metrics.jsonl is no file"),
    (pipe("metrics.jsonl"), "train --resume run --env-steps 999", "--resume: run/metrics.jsonl is no file"),
    (huge("metrics.jsonl"), "train --resume run --env-steps 999", "run/metrics.jsonl: larger than 1073741824 bytes"),
    (missing("metrics.jsonl"), "reproduce run", "run/metrics.jsonl: has 0 epochs, to compare are 1 to 2, as its configuration says"),
    (config(env_steps=96), "reproduce run", "run/metrics.jsonl: has 2 epochs, to compare are 1 to 1, as its configuration says"),
    (line(b"7"), "reproduce run", "run/metrics.jsonl: line 1 is no epoch of a run"),
    # Files and folders of another kind, and links.
    (folder("evaluation.json"), "train --resume run --env-steps 999", "--resume: run/evaluation.json is no file"),
    (folder("run.log"), "train --resume run --env-steps 999", "--resume: run/run.log is no file"),
    (folder("curves.png"), "train --resume run --env-steps 999", "--resume: run/curves.png is no file"),
    (content("tensorboard", b""), "train --resume run --env-steps 999", "--resume: run/tensorboard is no folder"),
    (content("checkpoints", b""), "train --resume run --env-steps 999", "--resume: run/checkpoints is no folder"),
    (content("checkpoints/last", b""), "evaluate run", "run_dir: run/checkpoints/last is no folder"),
    (link("checkpoints", "../outside"), "train --resume run --env-steps 999", "--resume: run/checkpoints leads out of the run directory; allowed is a link to a whole run directory"),
    (link("checkpoints/state/160", "../../../outside"), "train --resume run --env-steps 999", "--resume: run/checkpoints/state/160 leads out of the run directory; allowed is a link to a whole run directory"),
    (link("metrics.jsonl", "../outside/precious"), "train --resume run --env-steps 999", "--resume: run/metrics.jsonl leads out of the run directory; allowed is a link to a whole run directory"),
    (link("tensorboard", "../outside"), "evaluate run", "run_dir: run/tensorboard leads out of the run directory; allowed is a link to a whole run directory"),
    (link("config.json", "../outside/precious"), "evaluate run", "run_dir: run/config.json leads out of the run directory; allowed is a link to a whole run directory"),
    (link("checkpoints/state", "state"), "train --resume run --env-steps 999", "--resume: run has no checkpoint of a whole state to continue from"),
    # Checkpoints that are not there.
    (missing("checkpoints"), "train --resume run --env-steps 999", "--resume: run has no checkpoint of a whole state to continue from"),
    (missing("checkpoints/state"), "train --resume run --env-steps 999", "--resume: run has no checkpoint of a whole state to continue from"),
    (missing("checkpoints"), "evaluate run", "run_dir: run has no checkpoint"),
    (missing("checkpoints/last"), "evaluate run --checkpoint last", "--checkpoint: got last, but run has only its best; allowed is best"),
    (missing("checkpoints/best"), "evaluate run --checkpoint best", "--checkpoint: got best, but no policy of run was feasible; allowed is last"),
    (missing("checkpoints"), "landscape run", "run_dir: run has no checkpoint"),
    # States to look at.
    (content("state.npy", b""), "landscape run --state state.npy", "--state: state.npy is no readable .npy file"),
    (content("state.npy", b"import os"), "landscape run --state state.npy", "--state: state.npy is no readable .npy file"),
    (content("state.npy", HUGE_ARRAY), "landscape run --state state.npy", "--state: state.npy has shape (1000000000000,), allowed is (2,)"),
    (array(numpy.zeros(3)), "landscape run --state state.npy", "--state: state.npy has shape (3,), allowed is (2,)"),
    (array(numpy.array([1.0, numpy.nan])), "landscape run --state state.npy", "--state: state.npy holds something else than finite numbers"),
    (array(numpy.array([1.0, 1e300])), "landscape run --state state.npy", "--state: state.npy holds something else than finite numbers"),
    (array(numpy.array([1j, 2])), "landscape run --state state.npy", "--state: state.npy holds something else than finite numbers"),
    (array(numpy.array(["a", "b"])), "landscape run --state state.npy", "--state: state.npy holds something else than finite numbers"),
    (array(numpy.array([None, {}])), "landscape run --state state.npy", "--state: state.npy holds something else than finite numbers"),
    # What only an export reads.
    (missing("checkpoints"), "export run", "run_dir: run has no checkpoint"),
    (config(env="os:system"), "export run", "env: run was trained on 'os:system', which is code to import; if you trust it, add --env os:system"),
    (content("evaluation.json", b"{"), "export run --checkpoint last", "run/evaluation.json: is no evaluation of a run"),
    (content("evaluation.json", b"[]"), "export run --checkpoint last", "run/evaluation.json: is no evaluation of a run"),
    (huge("evaluation.json"), "export run --checkpoint last", "run/evaluation.json: is no evaluation of a run"),
]

DAMAGED = [
    (everywhere("manifest.json", b""), "train --resume run --env-steps 999", "checkpoint run/checkpoints/state/160 is damaged: manifest.json cannot be read; there is no other in its place"),
    (everywhere("manifest.json", b"[" * 100_000), "train --resume run --env-steps 999", "checkpoint run/checkpoints/state/160 is damaged: manifest.json cannot be read; there is no other in its place"),
    (everywhere("manifest.json", b'{"sha256": 1, "content": {}}'), "train --resume run --env-steps 999", "checkpoint run/checkpoints/state/160 is damaged: the content of manifest.json has changed; there is no other in its place"),
    (huge("checkpoints/state/160/manifest.json"), "train --resume run --env-steps 999", "checkpoint run/checkpoints/state/160 is damaged: manifest.json cannot be read; there is no other in its place"),
    (huge("checkpoints/state/160/arrays/more"), "train --resume run --env-steps 999", "checkpoint run/checkpoints/state/160 is damaged: its files have NUMBER bytes, allowed are NUMBER; there is no other in its place"),
    (everywhere("_METADATA", b""), "train --resume run --env-steps 999", "checkpoint run/checkpoints/state/160 is damaged: 'arrays/_METADATA' has 0 bytes instead of NUMBER; there is no other in its place"),
    (missing("checkpoints/state/160/arrays"), "train --resume run --env-steps 999", "checkpoint run/checkpoints/state/160 is damaged: 'arrays/_CHECKPOINT_METADATA' is missing; there is no other in its place"),
    (content("checkpoints/state/160", b""), "train --resume run --env-steps 999", "checkpoint run/checkpoints/state/160 is damaged: manifest.json cannot be read; there is no other in its place"),
    (content("checkpoints/state/160/more", b""), "train --resume run --env-steps 999", "checkpoint run/checkpoints/state/160 is damaged: 'more' does not belong to it; there is no other in its place"),
    (pipe("checkpoints/state/160/more"), "train --resume run --env-steps 999", "checkpoint run/checkpoints/state/160 is damaged: 'more' is no regular file; there is no other in its place"),
    (link("checkpoints/state/160/more", "manifest.json"), "train --resume run --env-steps 999", "checkpoint run/checkpoints/state/160 is damaged: 'more' is no regular file; there is no other in its place"),
    (config(critic_width=9), "train --resume run --env-steps 999", "checkpoint run/checkpoints/state/160 does not fit this run: agent.critic_optimizer.mu.cost.first.bias is float32[2, 8], needed is float32[2, 9]"),
    (config(env="ProbeEnv", algorithm="sac"), "train --resume run --env-steps 999", "checkpoint run/checkpoints/state/160 does not fit this run: agent.actor.first.bias is float32[8], needed is nothing"),
    (everywhere("manifest.json", b"{}"), "evaluate run --checkpoint last", "checkpoint run/checkpoints/last/160 is damaged: manifest.json cannot be read; there is no other in its place"),
    (everywhere("_METADATA", b""), "evaluate run --checkpoint last", "checkpoint run/checkpoints/last/160 is damaged: 'arrays/_METADATA' has 0 bytes instead of NUMBER; there is no other in its place"),
    (config(cost_critics=3), "evaluate run --checkpoint last", "checkpoint run/checkpoints/last/160 does not fit this run: critic_optimizer.mu.cost.first.bias is float32[2, 8], needed is float32[3, 8]"),
    (everywhere("_METADATA", b""), "reproduce run", "checkpoint run/checkpoints/last/160 is damaged: 'arrays/_METADATA' has 0 bytes instead of NUMBER; there is no other in its place"),
    (everywhere("_METADATA", b""), "landscape run --checkpoint last", "checkpoint run/checkpoints/last/160 is damaged: 'arrays/_METADATA' has 0 bytes instead of NUMBER; there is no other in its place"),
    (everywhere("_METADATA", b""), "export run --checkpoint last", "checkpoint run/checkpoints/last/160 is damaged: 'arrays/_METADATA' has 0 bytes instead of NUMBER; there is no other in its place"),
]

# fmt: on
@pytest.fixture(scope="module")
def finished(tmp_path_factory, probes):  # noqa: F811
    """A finished tiny run of two epochs."""
    folder = tmp_path_factory.mktemp("bad_input") / "run"
    flags = shlex.split(SHORTHANDS["PROBE"])
    argv = ["train", *flags, f"--env-steps={LAST_STEP}", "--run-dir", str(folder)]
    assert cli.main(argv) == 0
    return folder


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    """A copy of it in the current folder, beside what must not be touched."""
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("precious")
    monkeypatch.chdir(tmp_path)
    memory = types.SimpleNamespace(available=2**33)  # The same on every machine.
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr("algd_jax.runs.memory.memory_left", lambda: math.inf)
    return Path("run")


def everything():
    """Every path below the current folder, with what would change if it did."""
    return {
        str(path): (path.lstat().st_mode, path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in Path().rglob("*")
    }


def refuse(algd, argv, message, code):
    """Checks the answer to a command; returns what it printed on standard output."""
    for short, long in SHORTHANDS.items():
        argv, message = argv.replace(short, long), message.replace(short, long)
    before = everything()
    exit_code, out, err = algd(*shlex.split(argv))
    for name, names in NAMES.items():
        message = message.replace(name, ", ".join(names()))
    expected = re.escape(f"algd: {message}\n").replace("NUMBER", r"[\d.]+")
    assert re.fullmatch(expected, err), err
    assert exit_code == code
    assert everything() == before
    return out


def short(value):
    """A name for a case."""
    return value[:40] if isinstance(value, str) else ""


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(("argv", "message"), ARGUMENTS, ids=short)
def test_bad_arguments(algd, argv, message):
    assert refuse(algd, argv, message, code=2) == ""


def test_every_command_has_bad_input():
    assert {argv.split()[0] for argv, _ in ARGUMENTS} >= set(cli.COMMANDS)


@pytest.mark.parametrize(("harm", "argv", "message"), FOLDERS, ids=short)
def test_bad_folders(algd, run, harm, argv, message):
    harm(run)
    assert refuse(algd, argv, message, code=2) == ""


@pytest.mark.parametrize(("harm", "argv", "message"), DAMAGED, ids=short)
def test_bad_checkpoints(algd, run, harm, argv, message):
    harm(run)
    out = refuse(algd, argv, message, code=1)
    assert out == "" or out.endswith("-> run\nrestoring ...\n")
