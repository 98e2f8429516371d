"""How long tests wait for what comes at once where the machine has time: only a failure takes so long."""

PATIENCE_SECONDS = 60.0
