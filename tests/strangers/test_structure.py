"""Run and sweep directories in which something is another thing than it should be.

One file, or folder, of a valid directory becomes a link, pipe, device, folder or giant, or is cut
short, has a bit flipped or holds code. Whatever it is, a command ends in time, says in at most one
line what is wrong, changes nothing outside of the folder and runs nothing in it.
"""

import os
import shlex
import shutil
import stat
import sys
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

from algd_jax import cli
from tests.strangers.watching import TINY, at_most, tree

SECONDS = 60
IN_RUNS = (
    "watch run --once",
    "evaluate run --episodes 1",
    "report run --episodes 0",
    "render run",
    "play ActionProbe --policy run",
    "landscape run --points 2 --actions 1",
    "reproduce run --epochs 1",
    "compare run --out run/comparison",
    "export run",
    "train --resume run --env-steps 224",
)
IN_SWEEPS = ("compare sweep", "report sweep", f"sweep {TINY} --run-dir sweep")
ADDED = ("landscape/landscape.png", "policy/policy.npz", "trackers/wandb.json", "config.json.tmp")
ADDED += ("report.html", "episodes.png", "tensorboard/new", "numpy.py", "matplotlibrc")


@pytest.fixture(scope="module")
def swept(tmp_path_factory, probes):
    """A finished sweep of one trial."""
    folder = tmp_path_factory.mktemp("swept") / "sweep"
    assert cli.main(["sweep", *shlex.split(TINY), "--run-dir", str(folder)]) == 0
    return folder


@pytest.fixture(params=[30, pytest.param(1_000, marks=pytest.mark.slow)])
def examples(request):
    """The small number always takes the same examples, the large one new ones."""
    return hypothesis.settings(
        max_examples=request.param,
        derandomize=request.param == 30,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def places(folder):
    """What there is to replace: every file and folder, and files that a command may make."""
    there = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*"))]
    # By the kind of file, so that the many of a checkpoint are not most of all.
    kinds = {}
    for name in (*there, *ADDED):
        kinds.setdefault((Path(name).name, len(Path(name).parts)), []).append(name)
    return st.sampled_from(list(kinds.values())).flatmap(st.sampled_from)


def device(path, _):
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # An endless one.


def giant(path, _):
    path.touch()
    os.truncate(path, 2**42)


def cut_short(path, content):
    path.write_bytes(content[: len(content) // 2])


def flipped(path, content):
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([(*content, 0)[middle] ^ 4]) + content[middle + 1 :])


KINDS = {
    "link to a file": lambda path, _: path.symlink_to(Path("outside/precious").absolute()),
    "link to a folder": lambda path, _: path.symlink_to(Path("outside").absolute()),
    "link to nowhere": lambda path, _: path.symlink_to(Path("outside/new").absolute()),
    "link to itself": lambda path, _: path.symlink_to(path.name),
    "link within": lambda path, _: path.symlink_to(Path("run/config.json").absolute()),
    "second name": lambda path, _: path.hardlink_to("outside/precious"),
    "pipe": lambda path, _: os.mkfifo(path),
    "device": device,
    "folder": lambda path, _: path.mkdir(),
    "giant": giant,
    "empty": lambda path, _: path.touch(),
    "cut short": cut_short,
    "flipped": flipped,
    "code": lambda path, _: path.write_text("open('outside/ran', 'w')"),
}


def become(path, kind):
    """Put something else in the place of what is there."""
    content = path.read_bytes() if path.is_file() else b"\x00"
    if path.is_dir():
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    try:
        KINDS[kind](path, content)
    except PermissionError:  # Devices are made by the administrator.
        os.mkfifo(path)


def holds(original, commands, capsys):
    def hold(name, kind, command):
        folder = Path(original.name)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(original, folder)
        become(folder / name, kind)
        outside, path, modules = tree(Path("outside")), sys.path.copy(), set(sys.modules)
        with at_most(SECONDS):
            code = cli.main(shlex.split(command))
        _, err = capsys.readouterr()
        assert code in (0, 1, 2)
        assert err.count("\n") <= 1, err
        assert err.startswith("algd: ") if code else "Traceback" not in err
        assert all(line.isprintable() for line in err.split("\n"))
        assert tree(Path("outside")) == outside
        assert {one.name for one in Path().iterdir()} == {"outside", "run", "sweep"}
        assert sys.path == path
        for module in set(sys.modules) - modules:
            file = getattr(sys.modules[module], "__file__", None) or ""
            assert not Path(file).is_relative_to(Path().absolute()) or not file

    return hypothesis.given(places(original), st.sampled_from(sorted(KINDS)), commands)(hold)


def test_a_run_with_something_else_in_it(examples, finished, run, capsys):
    Path("sweep").mkdir()
    examples(holds(finished, st.sampled_from(IN_RUNS), capsys))()


def test_a_sweep_with_something_else_in_it(examples, swept, run, capsys):
    examples(holds(swept, st.sampled_from(IN_SWEEPS), capsys))()
