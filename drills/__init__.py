"""Faults, made on purpose and for real: what becomes of a package when something breaks under it."""
