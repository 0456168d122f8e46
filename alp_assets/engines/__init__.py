"""Normal clips to model to scores."""
