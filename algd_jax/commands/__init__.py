"""The commands of ``algd``, a module each: ``Arguments``, and ``run``, which gives an exit code."""
