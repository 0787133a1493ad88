"""The real packages, without any network: Weights & Biases offline, MLflow in a database file."""

import json
import socket
import struct

import pytest

from algd_jax.runs.logs import read_records
from algd_jax.runs.resuming import resumed_config
from algd_jax.runs.run import train
from algd_jax.runs.tracking.choice import Tracking
from tests.runs.support import TINY_FLAGS, stop_after, tiny_config


def train_in_two_parts(run_dir, name):
    """A run that is stopped and resumed; its log, without what is not known."""
    train(tiny_config(), run_dir, tracking=Tracking((name,)), stop_requested=stop_after(2))
    train(resumed_config(run_dir), run_dir, tracking=Tracking((name,)), resume=True)
    records = read_records(run_dir / "metrics.jsonl")
    return [{k: v for k, v in record.items() if v is not None} for record in records]


def test_mlflow(tmp_path, monkeypatch):
    pytest.importorskip("sqlalchemy")
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "probes")
    logged = train_in_two_parts(tmp_path / "run", "mlflow")

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("probes")
    (run,) = client.search_runs([experiment.experiment_id])
    for name in {name for record in logged for name in record} - {"step"}:
        history = client.get_metric_history(run.info.run_id, name)
        assert [(one.step, one.value) for one in history] == [
            (record["step"], record[name]) for record in logged if name in record
        ]
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "run"
    assert run.data.params["cost_limit"] == "2.0"
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert run.data.metrics["final_return_mean"] == evaluation["return_mean"]


def test_a_server_that_does_not_answer_is_one_warning(algd, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    flags = ["--env", "ActionProbe", *TINY_FLAGS, "--run-dir", tmp_path / "run"]
    code, out, err = algd("train", *flags, "--log-to", "mlflow")
    assert (code, err) == (0, "")
    (line,) = [line for line in out.splitlines() if line.startswith("mlflow: ")]
    assert "metrics.jsonl has every epoch" in line
    assert len(read_records(tmp_path / "run" / "metrics.jsonl")) == 4


def test_wandb(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_PROJECT", "probes")
    logged = train_in_two_parts(tmp_path / "run", "wandb")

    found = [wandb_records(path) for path in sorted((tmp_path / "run").rglob("*.wandb"))]
    runs = [one.run for part in found for one in part if one.HasField("run")]
    assert {run.run_id for run in runs} == {
        json.loads((tmp_path / "run" / "trackers" / "wandb.json").read_text())["run"]
    }
    assert {(run.project, run.display_name) for run in runs} == {("probes", "run")}
    epochs = [
        {item.nested_key[0]: json.loads(item.value_json) for item in one.history.item}
        for part in found
        for one in part
        if one.HasField("history")
    ]
    own = [{k: v for k, v in epoch.items() if not k.startswith("_")} for epoch in epochs]
    assert own == logged


def wandb_records(path):
    """What Weights & Biases keeps to be sent: records in the format of LevelDB's logs."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, content, records = path.read_bytes(), 7, b"", []
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:  # Records do not begin at the very end of a block.
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        content += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # A whole record, or its last part.
            records.append(Record.FromString(content))
            content = b""
    return records
