"""A bounded, encrypted queue on disk in front of the sinks that are across a network."""
