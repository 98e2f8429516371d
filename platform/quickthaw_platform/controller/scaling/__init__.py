"""How many instances a version should have: decided from samples of its concurrency."""
