"""What is in the archives that the project is handed on as, built from this checkout."""

import email
import pathlib
import subprocess
import tarfile
import zipfile

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import algd_jax

ROOT = pathlib.Path(__file__).parents[1]
NAME = f"algd_jax-{algd_jax.__version__}"
LARGEST = 64 * 2**20
"""Of the source archive, unpacked [bytes]; half a gigabyte of results would not fit."""


@pytest.fixture(scope="module")
def tracked():
    """Files of the checkout."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    try:
        found = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a checkout")
    return {name for name in found.split("\0") if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")))
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    (path,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("sdist")))
    with tarfile.open(path) as archive:
        yield archive


@pytest.fixture
def stray():
    """A file that somebody left in the checkout."""
    path = ROOT / "stray-results.bin"
    path.write_bytes(b"0" * 1000)
    yield path.name
    path.unlink()


def own(names, tracked):
    """Without what is not committed yet, so that the test runs before that too."""
    others = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split("\0")
    return set(names) - (set(others) - tracked)


def test_the_wheel_holds_the_package_with_its_assets_and_nothing_else(wheel, tracked):
    names = {name for name in wheel.namelist() if not name.startswith(f"{NAME}.dist-info/")}
    package = {name for name in tracked if name.startswith("algd_jax/")}
    assert own(names, tracked) == package
    assert {"algd_jax/py.typed", "algd_jax/runs/pages/page.css"} <= package


def test_the_wheel_says_what_it_needs(wheel):
    metadata = email.message_from_bytes(wheel.read(f"{NAME}.dist-info/METADATA"))
    assert metadata["Name"] == "algd-jax"
    assert metadata["Version"] == algd_jax.__version__
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert {"cuda", "wandb", "mlflow", "report"} <= set(metadata.get_all("Provides-Extra"))
    # PyPI takes no packages of addresses.
    assert not any(" @ " in needed for needed in metadata.get_all("Requires-Dist"))
    entries = wheel.read(f"{NAME}.dist-info/entry_points.txt").decode()
    assert "algd = algd_jax.cli:main" in entries.splitlines()


def test_the_source_archive_holds_the_checkout(sdist, tracked):
    names = {name.removeprefix(f"{NAME}/") for name in sdist.getnames()}
    assert own(names, tracked) == tracked | {"PKG-INFO"}
    assert sum(member.size for member in sdist.getmembers()) < LARGEST


def test_what_lies_about_does_not_come_along(stray, tmp_path):
    (path,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path))
    with tarfile.open(path) as archive:
        assert f"{NAME}/{stray}" not in archive.getnames()
        assert f"{NAME}/tests/data/README.md" in archive.getnames()
