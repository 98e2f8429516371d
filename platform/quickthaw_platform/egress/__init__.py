"""The HTTP proxy of a node, the only way out of instances with network `egress`: what it lets through, and to whom."""
