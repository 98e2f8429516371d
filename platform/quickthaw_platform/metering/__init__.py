"""What is measured: Prometheus metrics and traces."""
