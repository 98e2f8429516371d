"""Suites that clients' own authors wrote, and small ones where they wrote none, run against a real platform."""
