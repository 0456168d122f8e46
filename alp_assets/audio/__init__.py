"""Recordings: decoding, measuring, the standard clip, time-frequency features."""
