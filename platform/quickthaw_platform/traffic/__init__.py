"""Traffic: when calls come (arrivals and traces), and the load generator that sends them to a real endpoint."""
