"""Bringing weights into memory at the speed of where they lie: what is resident, direct reads, blocks, the load."""
