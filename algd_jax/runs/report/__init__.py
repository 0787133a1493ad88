"""``algd report``: everything worth seeing of a run on one page."""
