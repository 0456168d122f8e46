"""Plots, the HTML report and the letter of refusal."""
