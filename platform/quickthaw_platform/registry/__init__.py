"""Functions, versions, aliases, secrets and API keys."""
