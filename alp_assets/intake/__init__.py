"""Reading what customers send: archives, tables, paths."""
