"""Periodic work: dead nodes, deadlines, waiting queues, how many instances there are and how long they stay."""
