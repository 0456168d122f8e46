"""The stages as Dagster assets."""

import warnings

import dagster as dg

# Partitioned asset checks are a preview feature that ALP relies on; the lock pins the Dagster they were tested with.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
