"""Benchmarks of the whole platform against its peers: commands that measure, print a table and write a JSON file."""
