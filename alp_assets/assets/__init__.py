"""The stages as Dagster assets."""

import warnings

import dagster as dg

# Partitioned asset checks are a preview feature that ALP relies on.
warnings.filterwarnings("ignore", category=dg.PreviewWarning)
