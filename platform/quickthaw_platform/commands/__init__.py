"""Command-line commands that need the platform: up, worker, config, models import."""
