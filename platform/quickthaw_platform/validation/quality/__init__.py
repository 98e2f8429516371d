"""Continuation quality: how near a model's continuation of a paragraph comes to what its author wrote."""
