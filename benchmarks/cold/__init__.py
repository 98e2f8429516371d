"""Request to first token from zero, by engine and by where the weights are, beside other ways to start."""
