"""A node: Celery worker, agent, zygote, templates, instances."""
