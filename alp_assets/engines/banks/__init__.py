"""The parts of engine B: search, whitening, and one module for each of its modes."""
