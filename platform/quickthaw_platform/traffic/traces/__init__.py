"""Public traces of requests to language models: one reader a format, all streaming, all into columns."""
