"""`python -m benchmarks.optimise`: optimisers on a planted task, and on GSM8K."""
