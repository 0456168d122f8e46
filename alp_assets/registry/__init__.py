"""Model versions: which there are, what is known of each, and which one a section scores with."""
