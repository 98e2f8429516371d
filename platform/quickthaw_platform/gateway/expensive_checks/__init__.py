"""Checks of what callers and deployers send that may take long: done in processes that may be killed."""
