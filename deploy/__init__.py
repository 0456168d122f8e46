"""The same system on several machines."""
