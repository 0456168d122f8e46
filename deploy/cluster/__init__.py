"""Dagster on PostgreSQL, with Celery workers that each work one package at a time."""
