import os

import pytest

from algd_jax.files import append, append_note, create, is_leftover, replace
from tests.runs.support import files


def full_disk(*_):
    raise OSError(28, "No space left on device")


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    replace(path, b"old")
    replace(path, b"new")
    assert files(tmp_path) == {"a.json": b"new"}
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        replace(path, b"newer")
    assert files(tmp_path) == {"a.json": b"new"}


def test_what_a_full_disk_refuses_names_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left") as raised:
        append(tmp_path / "a.log", b"line")
    assert raised.value.filename == str(tmp_path / "a.log")
    with pytest.raises(OSError, match="No space left") as raised:
        replace(tmp_path / "a.json", b"new")
    assert raised.value.filename == str(tmp_path / "a.json.tmp")


def no_links(*_):
    raise OSError(95, "Operation not supported")


@pytest.mark.parametrize("link", [os.link, no_links])
def test_a_file_is_created_once(tmp_path, monkeypatch, link):
    monkeypatch.setattr(os, "link", link)
    path = tmp_path / "a.json"
    create(path, b"first")
    with pytest.raises(FileExistsError):
        create(path, b"second")
    assert files(tmp_path) == {"a.json": b"first"}


def test_a_file_that_cannot_be_created_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        create(tmp_path / "a.json", b"first")
    assert files(tmp_path) == {}


def test_what_a_killed_process_has_left_is_known(tmp_path, monkeypatch):
    def kill(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", kill)
    monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / "a.json", b"first")
    (left,) = tmp_path.iterdir()
    assert is_leftover(left, "a.json")
    assert not is_leftover(tmp_path / "a.json", "a.json")
    assert not is_leftover(tmp_path / "a.json.png", "a.json")


def test_notes_have_the_time_and_never_fail(tmp_path):
    append_note(tmp_path / "run.log", "first")
    append_note(tmp_path / "run.log", "second")
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["first", "second"]
    assert lines[0][:2] == "20"
    append_note(tmp_path / "nowhere" / "run.log", "lost")
