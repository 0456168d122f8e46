"""Model versions, and the one that a section scores with."""
