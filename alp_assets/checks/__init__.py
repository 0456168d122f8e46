"""The gates of the stages as Dagster asset checks."""
