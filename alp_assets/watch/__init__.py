"""Watching ALP: what is going on, how it is told, and whether all that it needs is there."""
