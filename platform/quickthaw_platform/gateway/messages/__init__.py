"""Anthropic's Messages API: its requests mapped onto calls of functions, its answers and its event stream."""
