"""What each process does that ``test_sharding.py`` starts: the example, and reading its checkpoint.

Its name starts without ``test_``, because it needs another process like it.
"""

import sys
from pathlib import Path

import jax

from tests.runs.support import PROBES, assert_equal_trees, tiny_config

CONFIG = tiny_config(epoch_steps=32, env_steps=96)


def main(folder: Path) -> None:
    jax.distributed.initialize()
    from algd_jax.envs import registry
    from algd_jax.training import checkpoint
    from algd_jax.training.sharding import host_members, member_mesh, member_sharding, placed
    from examples import several_hosts

    assert (jax.process_count(), jax.device_count()) == (2, 2)
    registry._FACTORIES.update(PROBES)
    state = several_hosts.main(CONFIG, folder)
    own = host_members(state)
    assert len(own.env_steps) == several_hosts.MEMBERS // 2
    like = placed(state, member_sharding(member_mesh(jax.devices())))
    assert_equal_trees(host_members(checkpoint.restore(folder, like).tree), own)
    try:
        checkpoint.save(folder / "own", 1, own)
        refused = False
    except checkpoint.CheckpointError:
        refused = True
    assert refused == (jax.process_index() > 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
