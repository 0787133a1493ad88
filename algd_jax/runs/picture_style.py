"""How pictures look: the same on every machine and in every folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def picture_style() -> Iterator[None]:
    """Context, or decorator of a function, that draws with Matplotlib's own settings.

    Matplotlib also reads a ``matplotlibrc`` of the current folder, which may be a stranger's and
    may have LaTeX run. Names are drawn as they are: between dollars they are no mathematics.
    """
    import matplotlib  # Here, because it is slow to load and training begins without.

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["text.parse_math"] = False
        yield
