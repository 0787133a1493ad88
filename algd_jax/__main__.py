"""``python -m algd_jax`` is ``algd``."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:  # Python searches the current folder first: it may be a stranger's.
        del sys.path[0]
    from algd_jax.cli import main

    sys.exit(main())
