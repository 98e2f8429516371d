"""The `quickthaw` command."""
