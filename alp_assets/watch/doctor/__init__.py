"""Is all there that ALP needs? Findings, each with what to do about it."""
