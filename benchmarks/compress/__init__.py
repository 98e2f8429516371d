"""Shorter prompts measured end to end: what is kept, what answers cost afterwards, and from which length on it pays."""
