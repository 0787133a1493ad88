"""``algd render`` and ``algd play``: episodes as videos, pictures and pages."""
