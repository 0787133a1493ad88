"""What is used of MLflow, kept in memory; ``broken`` is what goes wrong."""

import itertools
import types

runs = {}
experiments = {}
broken = None


class MlflowClient:
    def __init__(self):
        _fail()

    def get_experiment_by_name(self, name):
        number = experiments.get(name)
        return number and types.SimpleNamespace(experiment_id=number)

    def create_experiment(self, name):
        experiments[name] = str(len(experiments) + 1)
        return experiments[name]

    def create_run(self, experiment_id, tags):
        run_id = next(f"run{i}" for i in itertools.count() if f"run{i}" not in runs)
        runs[run_id] = types.SimpleNamespace(
            info=types.SimpleNamespace(run_id=run_id, status="RUNNING", experiment=experiment_id),
            data=types.SimpleNamespace(params={}, tags=tags),
            history=[],
        )
        return runs[run_id]

    def get_run(self, run_id):
        _fail()
        return runs[run_id]

    def update_run(self, run_id, status):
        runs[run_id].info.status = status

    set_terminated = update_run

    def log_batch(self, run_id, metrics=(), params=()):
        _fail()
        runs[run_id].data.params |= {param.key: param.value for param in params}
        runs[run_id].history += [(one.step, one.key, one.value) for one in metrics]


def _fail():
    if broken is not None:
        raise broken
