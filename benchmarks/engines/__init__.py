"""The engines side by side: through the platform, and beside the servers and loops that others use."""
