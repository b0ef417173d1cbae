"""The soak: mixed traffic and disturbances by a seed, each answer judged by a model of its own."""
