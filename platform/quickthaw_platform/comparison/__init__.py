"""Serverless or serverful: what a comparison leaves in its folder, and what is computed and drawn from that."""
