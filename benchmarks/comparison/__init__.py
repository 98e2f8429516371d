"""The comparison that the documents show: a real run, and its prediction checked by two more."""
