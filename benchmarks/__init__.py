"""Benchmarks of the whole platform against its peers: commands that measure, print a table and write a JSON file."""

import os

from quickthaw.proxies import spare_loopback

spare_loopback(os.environ)  # what is measured runs on this machine, whatever proxies its user has
