-- PostgreSQL runs this once, when its volume is empty. Dagster's tables and the registry's have a database each.
CREATE DATABASE registry;
