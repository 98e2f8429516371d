"""Prompts are shortened before admission, where caller or function say so: which texts, how, and in what time."""
