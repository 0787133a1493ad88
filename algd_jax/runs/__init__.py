"""The host side of a run: everything that touches time, files and the screen."""
