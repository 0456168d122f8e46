"""Versions: every package and model as it was on any day, with git and DVC."""
