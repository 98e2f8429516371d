"""Engines: the code that generates tokens, one a module or package."""
