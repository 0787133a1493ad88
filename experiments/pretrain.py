"""Makes a trained policy that comes with the package, and its card, of a finished run.

    python experiments/pretrain.py runs/first --episodes 100

Keeps the configuration, the log and the best feasible policy, without what only training needs,
in ``algd_jax/pretrained/TASK``, evaluates that and writes its card. Needs a feasible policy and at
most 1 MB.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from algd_jax.agents.state import AgentState
from algd_jax.errors import ConfigError
from algd_jax.runs.build import build
from algd_jax.runs.directory import RunDirectory, write_json
from algd_jax.runs.evaluate import Summary, choose_checkpoint, evaluate_run, load_agent
from algd_jax.runs.pretrained import FOLDER
from algd_jax.training import checkpoint

MOST_BYTES = 1_000_000


def main(argv: Sequence[str] | None = None) -> None:
    """Make the policy of the run that is named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of all trained policies")
    arguments = parser.parse_args(argv)
    try:
        target = keep_policy(RunDirectory(arguments.run_dir), arguments.out)
        print(write_card(target, arguments.episodes))
    except ConfigError as error:
        sys.exit(f"pretrain.py: {error}")


def keep_policy(run: RunDirectory, out: Path) -> Path:
    """Copy what looking at the best policy of a run takes; returns the folder.

    Raises:
      ConfigError: if no policy of the run is feasible, or it is too large.
    """
    config = run.read_config()
    trainer = build(config)
    agent, step = load_agent(trainer, run, choose_checkpoint(run, "best"))
    target = RunDirectory(out / config.env)
    if target.path.exists():
        raise ConfigError(f"out: {target.path} exists, allowed is a task without a policy")
    notes, owner = checkpoint.read_notes(run.best, run.owner("best")), run.owner("best")
    checkpoint.save(target.best, step, without_training(agent), notes, owner=owner)
    shutil.copy(run.config_file, target.config_file)
    shutil.copy(run.metrics_file, target.metrics_file)
    size = sum(path.stat().st_size for path in target.path.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        shutil.rmtree(target.path)
        raise ConfigError(f"run_dir: its policy takes {size:,} bytes, allowed are {MOST_BYTES:,}")
    return target.path


def without_training(agent: AgentState) -> AgentState:
    """The agent with zeros for what only updates read: they are compressed to nothing."""
    idle = ("target_critics", "actor_optimizer", "critic_optimizer")
    zeros: dict[str, Any] = {
        name: jax.tree.map(jnp.zeros_like, getattr(agent, name)) for name in idle
    }
    return agent.replace(**zeros)


def write_card(folder: Path, episodes: int) -> str:
    """Evaluate a kept policy; write ``evaluation.json`` and ``README.md``, its card."""
    directory = RunDirectory(folder)
    summary = evaluate_run(folder, episodes=episodes)
    write_json(directory.evaluation_file, summary.record())
    card = describe(summary, json.loads(directory.config_file.read_text()))
    (folder / "README.md").write_text(card)
    return card


def describe(summary: Summary, record: dict[str, Any]) -> str:
    """The card in Markdown."""
    config, device = record["config"], record["device"]
    costs = [
        f"| {name} [cost / episode] | {cost.cost_mean:.2f} ± {cost.cost_std:.2f}, "
        f"limit {cost.cost_limit:g} |"
        for name, cost in summary.constraints.items()
    ]
    rows = [
        f"| return [reward / episode] | {summary.return_mean:.2f} ± {summary.return_std:.2f} |",
        *costs,
        f"| episodes within every limit | {summary.within_limit:.0%} of {summary.episodes} |",
        f"| trained by | {config['algorithm']}, preset {config['preset']}, seed {config['seed']}, "
        f"{summary.step:,} environment steps |",
        f"| command | `{' '.join(record['command'])}` |",
        f"| commit | {record['git_commit']} |",
        f"| device | {device['kind']} ({device['host']}), JAX {record['versions']['jax']} |",
    ]
    lines = [
        f"# {summary.env}",
        "",
        "The policy with the highest return among those that were feasible while one run trained. "
        f"Evaluated anew, {summary.episodes} episodes, mean ± standard deviation over episodes:",
        "",
        "| | |",
        "|---|---|",
        *rows,
        "",
        f"`algd evaluate --pretrained {summary.env} --episodes {summary.episodes}` repeats this.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
