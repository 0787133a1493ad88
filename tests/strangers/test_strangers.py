"""Folders that came from somebody else: they are data, and nothing in them runs or leads out."""

import ast
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from algd_jax import cli, files
from algd_jax.runs.display import LiveDisplay
from algd_jax.runs.output import OutputConsole
from algd_jax.training import manifest
from tests.strangers.watching import ROOT, TINY, at_most, tree

# Code.

OPTIONAL = "boto3 comet_ml crc32c jax_plugins libtpu nest_asyncio numba orjson tensorflow torch"
COMMANDS = (
    "envs",
    "doctor",
    "watch . --once",
    "evaluate .",
    "evaluate . --env module:attribute",
    "report . --episodes 0 --out ../report.html",
    "render . --out ../episodes.png",
    "play ActionProbe --policy .",
    "landscape . --points 3 --actions 2 --out ../landscape",
    "reproduce . --epochs 1",
    "compare . --out ../comparison",
    "export . --out ../policy",
    f"sweep {TINY} --run-dir ../sweep --dry-run",
    f"train {TINY} --run-dir ../new",
    "completion bash",
    "benchmark nothing",
)


def test_nothing_of_the_current_folder_is_imported(run, tmp_path):
    assert {line.split()[0] for line in COMMANDS} == set(cli.COMMANDS)
    seen, notes = tmp_path / "seen", tmp_path / "notes"
    for name in OPTIONAL.split():
        (run / f"{name}.py").write_text(f"open({str(seen)!r}, 'a').write('{name}\\n')")
    # A module of a plug-in that is announced as if it were installed.
    plugin = run / "plugin-1.0.dist-info"
    plugin.mkdir()
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (plugin / "entry_points.txt").write_text("[jax_plugins]\nplugin = torch\n")
    # What Matplotlib would have LaTeX do.
    (run / "matplotlibrc").write_text("text.usetex: True\nno\x1b[2Jsense: 1\n")
    process = subprocess.run(
        [sys.executable, "-P", "-m", "tests.strangers.opening", str(notes), *COMMANDS],
        cwd=run,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    ends = [line for line in process.stdout.splitlines() if line.startswith("exit ")]
    codes = {line.split(": ", 1)[1]: int(line.split()[1][:-1]) for line in ends}
    refused = {"evaluate . --env module:attribute", "benchmark nothing"}
    assert {line: code for line, code in codes.items() if code} == dict.fromkeys(refused, 2)
    assert codes.keys() == set(COMMANDS), process.stderr
    assert not seen.exists()
    assert not notes.exists()
    assert "\x1b" not in process.stderr


def test_an_environment_of_the_current_folder_is_imported(algd, run, monkeypatch):
    """Its module, and no other once that is done."""
    Path("own_probe.py").write_text("from tests.probes import ActionProbe as Probe\n")
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = sys.path.copy()
    code, _, err = algd("play", "own_probe:Probe")
    assert (code, err) == (0, "")
    assert sys.path == before
    del sys.modules["own_probe"]


# Files outside.


LINKS = {
    "landscape/landscape.png": "landscape run --points 3 --actions 2",
    "landscape/landscape.json": "landscape run --points 3 --actions 2",
    "landscape": "landscape run --points 3 --actions 2",
    "policy": "export run",
    "report.html": "report run --episodes 0",
    "episodes.png": "render run",
    "tensorboard/events": "train --resume run --env-steps 224",
    "checkpoints/state/more": "train --resume run --env-steps 224",
    "checkpoints/state/160/arrays/d": "train --resume run --env-steps 224",
    "run.log": "train --resume run --env-steps 224",
    "run.lock": "train --resume run --env-steps 224",
    "trackers": "train --resume run --env-steps 224",
    "config.json.tmp": "train --resume run --env-steps 224",
    "metrics.jsonl.tmp": "train --resume run --env-steps 224",
}


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("target", ["precious", "."])
def test_a_link_leads_nobody_out(algd, run, name, target):
    """Neither to a file nor to a folder: the command refuses the run before it computes."""
    place, outside = run / name, Path("outside").absolute()
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(outside / target)
    before = tree(Path())
    code, _, err = algd(*shlex.split(LINKS[name]))
    assert code == 2
    assert err.startswith(
        ("algd: run_dir: run/", "algd: --resume: run/", "algd: out: run/", "algd: --out: run/")
    )
    assert err.count("\n") == 1
    assert tree(Path()) == before


def test_a_sweep_with_a_link_that_leads_out_is_refused(algd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["sweep", *shlex.split(TINY), "--run-dir", "sweep"]
    assert algd(*flags)[0] == 0
    Path("outside").mkdir()
    for name in ("programs", "trials"):
        Path("sweep", name).rename(f"outside/{name}")
        Path("sweep", name).symlink_to(Path("outside", name).absolute())
        before = tree(tmp_path)
        for command in (flags, ["compare", "sweep"], ["report", "sweep"]):
            code, _, err = algd(*command)
            field = "--run-dir" if command is flags else "run_dir"
            assert (code, err) == (
                2,
                f"algd: {field}: sweep/{name} leads out of the sweep directory; "
                "allowed is a link to a whole sweep directory\n",
            )
        assert tree(tmp_path) == before
        Path("sweep", name).unlink()
        Path("outside", name).rename(f"sweep/{name}")


def test_a_second_name_of_a_log_is_not_written_to(algd, run):
    """A hard link cannot be seen by its path."""
    precious, log = Path("outside/precious"), run / "run.log"
    log.unlink(missing_ok=True)
    log.hardlink_to(precious)
    shutil.rmtree(run / "checkpoints/state/160/arrays")
    code, _, _ = algd("train", "--resume", "run", "--env-steps", 224)
    assert code == 1
    files.append_note(log, "noted")
    assert precious.read_text() == "precious"
    assert log.read_text().startswith("precious")
    assert log.read_text().endswith("noted\n")


OWN_FILES = {  # Not in a stranger's folder: of the package, the system, or a folder just made.
    "files.py",
    "runs/control_groups.py",
    "runs/doctor.py",
    "runs/export/forms.py",
    "runs/export/runner.py",
    "runs/pages/page.py",
    "runs/provenance.py",
    "runs/render/video.py",
    "runs/output.py",
}
FORBIDDEN = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "touch", "write_html"}
FORBIDDEN |= {"tofile", "fromfile", "memmap", "FileIO", "write_image", "copyfile", "copytree"}
INTO_MEMORY = {"savefig", "save", "savez", "to_csv", "to_parquet", "load", "read_csv", "dump"}


def calls(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Attribute):
                yield function.attr, ast.unparse(function.value), node
            elif isinstance(function, ast.Name):
                yield function.id, "", node


def test_there_is_one_way_to_read_and_write_files():
    """A call that opens a file stands in ``files.py``; libraries are handed memory."""
    package, found = ROOT / "algd_jax", []
    for path in package.rglob("*.py"):
        if path.relative_to(package).as_posix() in OWN_FILES:
            continue
        for name, of, node in calls(path):
            own = isinstance(getattr(node.func, "value", None), ast.Name) and of in ("self", "one")
            if name in FORBIDDEN and not (name == "open" and (own or of.endswith("log"))):
                found.append(f"{path.name}:{node.lineno}: {of}.{name}")
            if name in INTO_MEMORY and of.split(".")[-1] in ("figure", "np", "pd", "table", "json"):
                buffers = {"table", "content", "file", "picture", "parquet", ""}
                first = ast.unparse(node.args[0]) if node.args else ""
                if first not in buffers:
                    found.append(f"{path.name}:{node.lineno}: {of}.{name}({first})")
    assert found == []


# Pipes, devices and what never ends.

RESUME = "train --resume run --env-steps 224"
READ = {
    "config.json": ("watch run --once", "evaluate run", "compare run", RESUME),
    "metrics.jsonl": ("watch run --once", "compare run", "reproduce run", RESUME),
    "evaluation.json": ("watch run --once", "report run", "export run", RESUME),
    "checkpoints/best/160/manifest.json": ("evaluate run", "export run", "landscape run"),
    "checkpoints/last/160/manifest.json": ("evaluate run --checkpoint last", "reproduce run"),
    "checkpoints/state/160/manifest.json": (RESUME,),
    "checkpoints/best/160/arrays/_METADATA": ("evaluate run", "render run"),
    "landscape/landscape.png": ("report run --episodes 0",),
    "run.log": (RESUME,),
    "run.lock": (RESUME,),
    "state.npy": ("landscape run --state run/state.npy",),
}


def remove(path, unless):
    if not unless.is_relative_to(path):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def endless(path):
    """A regular file that takes no place, but that nobody may read."""
    path.touch()
    os.truncate(path, 2**42)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, endless])
@pytest.mark.parametrize("name", READ)
def test_nobody_waits_for_a_file(algd, run, name, make):
    place = run / name
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    make(place)
    before = tree(Path()) if make is not endless else None
    for command in READ[name]:
        if make is endless and name in ("run.log", "run.lock"):
            continue  # They are written, not read.
        with at_most(60):
            code, _, err = algd(*shlex.split(command))
        assert code in (0, 1, 2)  # 0 where an older checkpoint takes its place.
        assert err.count("\n") == bool(code)
        for made in ("report.html", "policy", "episodes.png", "landscape"):
            remove(run / made, unless=place)
    assert before is None or "train" in command or tree(Path()) == before


def test_a_table_of_a_sweep_may_be_a_pipe(algd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert algd("sweep", *shlex.split(TINY), "--run-dir", "sweep")[0] == 0
    (trial,) = Path("sweep/trials").iterdir()
    sweep = Path("sweep")
    for path in (*(sweep / name for name in ("sweep.json", "results.csv", "trials.csv")), trial):
        path = path / "config.json" if path == trial else path
        kept = path.rename("kept")
        os.mkfifo(path)
        for command in ("compare sweep", "report sweep", f"sweep {TINY} --run-dir sweep"):
            with at_most(60):
                code, _, err = algd(*shlex.split(command))
            assert code in (0, 2)
            assert err.count("\n") == code // 2
        path.unlink()
        kept.rename(path)
        Path("sweep/report.html").unlink(missing_ok=True)


# What is shown.

HOSTILE = "[bold]a[/bold] [/] :smile: \x1b[2J\x07\x9b\u202e\u2066\u2028b"
SHOWN = "[bold]a[/bold] [/] :smile: ?[2J?????b"


def hostile(value, depth=0):
    """The value with every text in it, and every name but those of the format, made hostile."""
    if isinstance(value, dict):
        changed = {name: hostile(one, depth + 1) for name, one in value.items()}
        return changed | {HOSTILE: HOSTILE}
    if isinstance(value, list):
        return [hostile(one, depth + 1) for one in value]
    return HOSTILE if isinstance(value, str) else value


def each_hostile(value):
    """The value with one of its texts, or a name more, hostile at a time."""
    if isinstance(value, dict):
        yield value | {HOSTILE: 1}
        for name, one in value.items():
            yield from (value | {name: changed} for changed in each_hostile(one))
    elif isinstance(value, list):
        for place, one in enumerate(value):
            for changed in each_hostile(one):
                yield [*value[:place], changed, *value[place + 1 :]]
    elif isinstance(value, str | None):
        yield HOSTILE


def assert_plain(*texts):
    for text in texts:
        assert all(line.isprintable() for line in text.split("\n")), text


SHOWING = (
    "watch RUN --once",
    "evaluate RUN",
    "report RUN --out report.html",
    "render RUN --out episodes.png",
    "play ActionProbe --policy RUN",
    "landscape RUN --points 3 --actions 2 --out landscape",
    "compare RUN --out comparison",
    "export RUN --out policy",
    "reproduce RUN",
    "train --resume RUN --env-steps 224",
)


def test_texts_of_a_folder_are_shown_as_they_are(algd, run, recwarn):
    """Names of a folder and of its files, of epochs, and everything about where it came from."""
    run = run.rename(HOSTILE.replace("/", ""))
    record = json.loads((run / "config.json").read_text())
    kept = {name: record[name] for name in ("format_version", "id", "config")}
    (run / "config.json").write_text(json.dumps(hostile(record) | kept))
    epochs = (run / "metrics.jsonl").read_text().splitlines()
    changed = [json.dumps(json.loads(epoch) | {HOSTILE: 1}) for epoch in epochs]
    (run / "metrics.jsonl").write_text("\n".join(changed) + "\n")
    (run / HOSTILE.replace("/", "")).write_text(HOSTILE)
    (run / "checkpoints/best/160" / HOSTILE.replace("/", "")).write_text(HOSTILE)
    shown = False
    for command in SHOWING:
        code, out, err = algd(*(str(run) if word == "RUN" else word for word in command.split()))
        assert_plain(out, err)
        # Of such a name compare makes no table.
        assert code == {"reproduce": 1, "compare": 2}.get(command.split()[0], 0), err
        shown = shown or SHOWN.replace("/", "") in out
    assert shown
    assert_plain(*(str(warning.message) for warning in recwarn))
    files.append_note(run / "run.log", HOSTILE)
    assert_plain((run / "run.log").read_text())
    for flags in ([], ["--debug"]):
        code, out, err = algd("evaluate", run / "nowhere", *flags)
        assert_plain(out, err)
        assert code == 2
        assert SHOWN.replace("/", "") in err


@pytest.mark.parametrize("name", ["config.json", "evaluation.json", "manifest.json", "metrics"])
def test_each_text_of_each_file_is_shown_as_it_is(algd, run, name):
    """Most are refused, each in one line."""
    path = {
        "manifest.json": run / "checkpoints/best/160/manifest.json",
        "metrics": run / "metrics.jsonl",
    }.get(name, run / name)
    lines = path.read_text().splitlines() if name == "metrics" else [path.read_text()]
    shutil.rmtree(run / "checkpoints/best/96")  # It would be taken instead.
    for changed in each_hostile(json.loads(lines[0])):
        if name == "manifest.json":
            changed["sha256"] = manifest._digest(changed["content"])
        path.write_text("\n".join([json.dumps(changed), *lines[1:], ""]))
        commands = (
            ["watch run --once"] if name != "manifest.json" else ["evaluate run --episodes 1"]
        )
        for command in commands:
            code, out, err = algd(*command.split())
            assert_plain(out, err)
            assert err.count("\n") <= 1
            assert code in (0, 1, 2)


def test_a_terminal_gets_no_sequence_of_a_stranger():
    """Only those of Rich, for its own styles."""
    stream = io.StringIO()
    console = OutputConsole(force_terminal=True, file=stream, width=200)
    table = Table(HOSTILE)
    table.add_row(HOSTILE)
    for shown in (HOSTILE, Text(HOSTILE), table):
        console.print(shown, style="red")
    display = LiveDisplay(console)
    display.start(HOSTILE)
    display.phase(HOSTILE)
    display.note(HOSTILE)
    display.stop()
    written = re.sub(r"\x1b\[[\d;?]*[a-zA-LN-Z]", "", stream.getvalue().replace("\x1b[2K", ""))
    assert "\x1b[2J" not in stream.getvalue()
    assert not set("\x07\x9b\u202e\u2066\u2028") & set(written)
    assert stream.getvalue().count("[bold]a[/bold] [/] :smile:") >= 6


def test_a_folder_keeps_its_name(algd, run):
    """Between brackets Rich saw markup."""
    run.rename("[lr=1e-3]")
    code, out, _ = algd("report", "[lr=1e-3]", "--episodes", 0)
    assert (code, out) == (0, "[lr=1e-3]/report.html\n")


# Whose a checkpoint is.


def best(run):
    return run / "checkpoints" / "best"


def swap(run, one, other):
    shutil.rmtree(run / "checkpoints" / other)
    shutil.copytree(run / "checkpoints" / one, run / "checkpoints" / other)


def other_run(run):
    """The checkpoints are those of a run of the same configuration."""
    record = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(record | {"id": "another"}))


def other_seed(run):
    record = json.loads((run / "config.json").read_text())
    record["config"]["seed"] = 1
    (run / "config.json").write_text(json.dumps(record))


MIXED_UP = [
    (lambda run: best(run).joinpath("160").rename(best(run) / "240"), "evaluate run", 240, "step"),
    (lambda run: swap(run, "last", "best"), "evaluate run", 160, "kind"),
    (lambda run: swap(run, "best", "last"), "export run --checkpoint last", 160, "kind"),
    (other_run, "landscape run", 160, "run"),
    (other_run, "train --resume run --env-steps 224", 160, "run"),
    (other_seed, "train --resume run --env-steps 224", 160, "seed"),
    (other_seed, "render run", 160, "seed"),
]


@pytest.mark.parametrize(("mix", "command", "step", "field"), MIXED_UP)
def test_a_checkpoint_says_whose_it_is(algd, run, mix, command, step, field):
    for folder in ("best", "last", "state"):  # Nothing older takes its place.
        for older in (run / "checkpoints" / folder).iterdir():
            if older.name != "160":
                shutil.rmtree(older)
    mix(run)
    before = tree(Path())
    code, _, err = algd(*command.split())
    assert code == 1
    assert re.fullmatch(
        rf"algd: checkpoint run/checkpoints/\w+/{step} is damaged: it says {field} \S+, not \S+; "
        r"there is no other in its place\n",
        err,
    ), err
    assert {**tree(Path()), "run/run.lock": b""} == {**before, "run/run.lock": b""}


def test_an_older_checkpoint_takes_the_place_of_a_foreign_one(algd, run):
    shutil.copytree(run / "checkpoints/last/96", run / "checkpoints/state/200")
    code, _, err = algd("train", "--resume", "run", "--env-steps", 224)
    assert (code, err) == (0, "")
    log = (run / "run.log").read_text()
    assert "state/200 is damaged: it says step 96, not 200; going on from the one of" in log
    assert (run / "checkpoints/state/200.damaged").is_dir()


def test_a_program_of_a_sweep_takes_only_its_own_checkpoints(algd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["sweep", *shlex.split(TINY), "--run-dir", "sweep"]
    assert algd(*flags)[0] == 0
    record = json.loads(Path("sweep/sweep.json").read_text())
    Path("sweep/sweep.json").write_text(json.dumps(record | {"id": "another"}))
    for path in Path("sweep/trials").glob("*/evaluation.json"):
        path.unlink()
    code, _, err = algd(*flags)
    assert code == 1
    assert "is damaged: it says sweep " in err


def test_a_policy_plays_elsewhere_only_by_force(algd, run):
    code, out, err = algd("play", "ProbeEnv", "--policy", run)
    assert (code, out, err) == (
        2,
        "",
        "algd: --policy: run was trained on ActionProbe, not on ProbeEnv; "
        "add --force to play it there all the same\n",
    )
    assert algd("play", "ProbeEnv", "--policy", run, "--force")[0] == 0
