"""`make bench-load`: checkpoint to usable weights, by every way to load them, beside the limits of the machine."""
