"""The synthetic customer."""
