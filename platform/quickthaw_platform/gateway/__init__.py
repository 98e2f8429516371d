"""HTTP: control API, invoke API, OpenAI API, authentication, metrics."""
