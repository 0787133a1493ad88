"""``python -m algd_jax`` is ``algd``."""

import sys

from algd_jax.cli import main

if __name__ == "__main__":
    sys.exit(main())
