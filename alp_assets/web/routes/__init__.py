"""The API's endpoints, a module for each thing that they are about."""
