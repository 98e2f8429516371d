"""Where a node's checkpoints are: memory, disk, beyond; what is brought nearer, and what makes room for it."""
