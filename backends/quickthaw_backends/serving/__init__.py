"""Serving backends: the ways in which a model function is kept served, each with its price."""
