"""Plugins of quickthaw: engines, and ways of serving."""
