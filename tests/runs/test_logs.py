import json

import pytest
from tensorboardX.proto.event_pb2 import Event

from algd_jax.runs.logs import Logger, read_records


def log(folder, records, step=0):
    with Logger(folder / "metrics.jsonl", folder / "tensorboard", step) as logger:
        for record in records:
            logger.log(record)
        return logger.records


def scalars(folder):
    """(tag, step, value) of every scalar in the TensorBoard files."""
    found = []
    for path in sorted((folder / "tensorboard").iterdir()):
        data, position = path.read_bytes(), 0
        while position < len(data):
            # A record: 8 bytes length, 4 bytes checksum, the event, 4 bytes checksum.
            length = int.from_bytes(data[position : position + 8], "little")
            event = Event.FromString(data[position + 12 : position + 12 + length])
            position += 16 + length
            found += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
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


def test_a_line_cut_short_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1}) + '\n{"step": 2')
    assert read_records(path) == [{"step": 1}]
    assert read_records(tmp_path / "none.jsonl") == []


def test_numbers_that_json_does_not_know_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        log(tmp_path, [{"step": 1, "lam": float("nan")}])
