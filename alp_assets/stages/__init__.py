"""The eight stages as plain functions, and the package folder that they work on."""
