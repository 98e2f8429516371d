"""A virtual machine with Debian's kernel, in which tests of control groups run as root: see `__main__`."""
