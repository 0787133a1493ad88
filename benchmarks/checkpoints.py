"""How long training waits for a checkpoint of the whole state, and what its writing costs.

    python benchmarks/checkpoints.py --preset quick --output benchmarks/results/checkpoints_cpu.json

Epochs after which nothing is written and epochs during which a checkpoint is written take turns.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import tempfile
import time
from typing import Any

import jax

from algd_jax.presets import PRESETS, preset
from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.runs.programs import Programs
from algd_jax.runs.provenance import device_record, versions
from algd_jax.training import storage
from algd_jax.training.checkpoint import Writer


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="PointButton1")
    parser.add_argument("--preset", default="quick", choices=list(PRESETS))
    parser.add_argument("--repeats", type=int, default=4, help="pairs of epochs")
    parser.add_argument("--output", type=pathlib.Path, help="JSON file; standard output if absent")
    return parser.parse_args(argv)


def measure(arguments: argparse.Namespace, folder: pathlib.Path) -> dict[str, Any]:
    """Seconds of waiting, of writing, and of epochs without and with a write behind them."""
    config = preset(arguments.preset, arguments.env)
    hyper, key = config.hyper.as_arrays(), stream_key(0, Stream.TRAINING)
    programs = Programs(build(config), hyper, key, fresh=True)
    programs.wait()
    state = programs.warmup(programs.init(key, hyper), hyper)
    writer, stalls, writes, epochs = Writer(folder), [], [], {False: [], True: []}
    for index in range(2 * arguments.repeats):
        writing = index % 2 == 1
        begin = time.perf_counter()
        if writing:
            writer.save(index, state)
            stalls.append(time.perf_counter() - begin)
        state, _ = jax.block_until_ready(programs.train_epoch(state, hyper))
        epochs[writing].append(time.perf_counter() - begin)
        if writing:
            writer.wait()
            writes.append(time.perf_counter() - begin)
    writer.close()
    stall, epoch = statistics.median(stalls), statistics.median(epochs[False])
    return {
        "env": arguments.env,
        "preset": arguments.preset,
        "state_bytes": storage.size(state),
        "stored_bytes": sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()),
        "stall_seconds": [round(seconds, 4) for seconds in stalls],
        "epoch_seconds": [round(seconds, 3) for seconds in epochs[False]],
        "epoch_seconds_with_write": [round(seconds, 3) for seconds in epochs[True]],
        "seconds_until_written_at_most": [round(seconds, 3) for seconds in writes],
        "checkpoint_epochs": config.loop.checkpoint_epochs,
        "stall_share": stall / (config.loop.checkpoint_epochs * epoch),
    }


def main(argv: list[str] | None = None) -> None:
    arguments = parse(argv)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments, pathlib.Path(folder) / "state")
    record = {
        "command": "python benchmarks/checkpoints.py",
        "cpu_cores": os.cpu_count(),
        "machine": platform.machine(),
        "device": device_record(),
        "versions": versions(),
        "result": result,
    }
    text = json.dumps(record, indent=2)
    if arguments.output:
        arguments.output.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
