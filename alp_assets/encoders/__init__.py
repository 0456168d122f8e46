"""Waveform to embedding, frozen."""
