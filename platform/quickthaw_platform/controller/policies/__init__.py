"""How long an idle instance is kept: one policy a file. Pure."""
