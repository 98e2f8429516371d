"""Answers held to JSON schemas: whether they are valid, and what that costs."""
