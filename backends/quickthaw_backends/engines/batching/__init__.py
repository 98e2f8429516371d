"""What engines that compute step by step share: the batch loop, its scheduler, sampling, prefixes and speculation."""
