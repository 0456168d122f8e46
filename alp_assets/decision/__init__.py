"""From scores to decisions: thresholds, severity, metrics."""
