"""What the API shows of things, as JSON."""
