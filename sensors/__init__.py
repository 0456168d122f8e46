"""Dagster sensors: new uploads, failed runs."""
