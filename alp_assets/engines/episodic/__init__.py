"""The parts of engine C: tasks from metadata, the network that they train, distances to prototypes."""
