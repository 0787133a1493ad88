"""``algd compare``: many finished runs, told apart by their configurations, as statistics."""
