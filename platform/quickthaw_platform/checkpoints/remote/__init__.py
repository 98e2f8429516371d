"""Checkpoints beyond the nodes: stores (S3, a directory), and how checkpoints lie in them."""
