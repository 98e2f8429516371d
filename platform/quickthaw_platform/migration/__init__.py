"""Moving running invocations to another node: only tokens travel, and the source serves until the handover."""
