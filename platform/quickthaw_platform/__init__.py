"""The server side of quickthaw."""
