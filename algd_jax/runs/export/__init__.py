"""``algd export``: the policy of a run alone, in forms that need no trainer."""
