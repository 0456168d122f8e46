"""Layouts of others, in and out: DCASE and MIMII."""
