"""A training step: what it works on, how its work is cut, and its two phases."""
