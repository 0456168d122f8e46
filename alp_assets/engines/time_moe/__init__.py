"""A decoder-only forecaster with sparse experts, trained on normal series alone."""
