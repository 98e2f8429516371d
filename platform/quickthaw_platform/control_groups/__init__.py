"""Control groups (cgroup v2) of instances: what one may use as a whole, and that nothing of it outlives it."""
