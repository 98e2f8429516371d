"""`quickthaw validate` beside lm-eval's own run of the same work."""
