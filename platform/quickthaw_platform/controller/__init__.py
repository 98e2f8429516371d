"""Periodic work: dead nodes, deadlines, keep-alive, minimum instances, waiting queues."""
