"""Allocation policies: where an instance starts. Pure: no I/O, no clock, no log."""
