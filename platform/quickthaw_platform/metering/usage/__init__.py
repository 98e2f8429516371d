"""What instances use: device time by phase, memory, tokens, bytes fetched; measured, kept, added up, exported."""
