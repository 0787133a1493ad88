import json

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from algd_jax.errors import ConfigError
from algd_jax.runs.logs import Logger, read_records


def log(folder, records, step=0):
    logger = Logger(folder / "metrics.jsonl", folder / "tensorboard", step)
    for record in records:
        logger.log(record)
    return logger.records


def scalars(folder):
    """(tag, step, value) of every scalar in the TensorBoard files."""
    return [
        (v.tag, event.step, v.simple_value) for event in events(folder) for v in event.summary.value
    ]


def restarts(folder):
    """The steps from which on TensorBoard shall forget what came before."""
    return [event.step for event in events(folder) if event.session_log.status == SessionLog.START]


def events(folder):
    found = []
    for path in sorted((folder / "tensorboard").iterdir()):
        data, position = path.read_bytes(), 0
        while position < len(data):
            # A record: 8 bytes length, 4 bytes checksum, the event, 4 bytes checksum.
            length = int.from_bytes(data[position : position + 8], "little")
            found.append(Event.FromString(data[position + 12 : position + 12 + length]))
            position += 16 + length
    return found


def test_lines_and_scalars(tmp_path):
    log(tmp_path, [{"step": 10, "lam": 0.5, "episode_return": None}])
    assert (tmp_path / "metrics.jsonl").read_text() == (
        '{"step": 10, "lam": 0.5, "episode_return": null}\n'
    )
    assert scalars(tmp_path) == [("lam", 10, 0.5)]


def test_reopening_appends_and_forgets_what_is_to_be_repeated(tmp_path):
    log(tmp_path, [{"step": 10}, {"step": 20}, {"step": 30}])
    records = log(tmp_path, [{"step": 30, "lam": 1.0}], step=20)
    assert records == [{"step": 10}, {"step": 20}, {"step": 30, "lam": 1.0}]
    assert read_records(tmp_path / "metrics.jsonl") == records


def test_a_log_goes_back_to_an_earlier_step(tmp_path):
    logger = Logger(tmp_path / "metrics.jsonl", tmp_path / "tensorboard")
    for step in (10, 20):
        logger.log({"step": step, "lam": 0.5})
    logger.rewind(10)
    logger.log({"step": 20, "lam": 0.25})
    assert read_records(tmp_path / "metrics.jsonl") == logger.records
    assert logger.records == [{"step": 10, "lam": 0.5}, {"step": 20, "lam": 0.25}]
    assert restarts(tmp_path) == [1, 11]  # TensorBoard shows nothing older from these steps on.


@pytest.mark.parametrize(
    "torn", ['{"step": 2', '{"step": 2\n', "\0\0\0\n", "\0", "", "[1]\n", "\n"]
)
def test_a_last_line_cut_short_is_left_out(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1}) + "\n" + torn)
    assert read_records(path) == [{"step": 1}]
    assert log(tmp_path, [{"step": 2}], step=1) == read_records(path) == [{"step": 1}, {"step": 2}]
    assert read_records(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
    "line",
    ["{", "[1]", "", "7", '{"lam": 1}', '{"step": 2, "lam": "x"}', '{"step": 1.5}', "[" * 99999],
)
def test_any_other_line_that_is_no_epoch_is_one_clear_line(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
    with pytest.raises(ConfigError) as error:
        read_records(path)
    assert str(error.value) == f"{path}: line 2 is no epoch of a run"


def test_bytes_that_are_no_text_are_no_epoch(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n\xff\xfe\n{"step": 3}\n')
    with pytest.raises(ConfigError, match="line 2"):
        read_records(path)


def test_numbers_that_json_does_not_know_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        log(tmp_path, [{"step": 1, "lam": float("nan")}])
