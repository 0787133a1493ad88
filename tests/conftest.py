"""Shared set-up: how the suite compiles, and what it keeps of it."""

import gc
import os
import pathlib
import shutil

import pytest

# Before jax is imported. Compiles dominate the suite; a cold run passes too, only slower.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parents[1] / ".jax_cache")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
# A sixth to a third of the compile time, for tiny programs that are run a few times each; those
# that run long ask for tests.compiling.OPTIMISED. XLA_FLAGS= (empty) compiles as users do.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
)

# Linux lets a process have 65,530 mappings (vm.max_map_count). A program takes ten to hundreds,
# and XLA crashes when there are no more.
MANY_MAPPINGS = 20_000


@pytest.fixture(scope="session", autouse=True)
def programs():
    """Runs of one shape share their compiled programs."""
    from tests.runs.shared_programs import shared_programs

    with shared_programs() as compiled:
        yield compiled


@pytest.fixture(scope="module", autouse=True)
def room_for_programs(programs):
    """After a file that leaves many programs, all are let go."""
    yield
    if count_mappings() > MANY_MAPPINGS:
        import jax

        programs.clear()
        jax.clear_caches()
        gc.collect()


def count_mappings() -> int:
    """Memory mappings of this process; 0 where the system does not tell."""
    mappings = pathlib.Path("/proc/self/maps")
    return len(mappings.read_bytes().splitlines()) if mappings.exists() else 0


@pytest.fixture
def own_programs(monkeypatch):
    """Runs of this test trace and compile everything themselves."""
    from tests.runs import shared_programs

    monkeypatch.setattr(shared_programs.Programs, "_compile", shared_programs.COMPILE_ANEW)


@pytest.fixture
def algd(capsys):
    """Runs a command and returns (exit code, standard output, standard error)."""
    from algd_jax import cli

    def call(*argv):
        code = cli.main([str(argument) for argument in argv])
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def browser():
    """Chromium as the system has it; nothing is downloaded."""
    driver = pytest.importorskip("playwright.sync_api", reason="needs Playwright (extra test)")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"needs a browser: none of {', '.join(names)} is installed")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()
