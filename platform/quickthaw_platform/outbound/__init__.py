"""Requests that the platform sends to addresses which its callers choose."""
