"""Allocation: a pure policy, the view it decides on, and the allocator that acts."""
