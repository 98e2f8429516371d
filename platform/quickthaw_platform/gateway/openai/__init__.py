"""OpenAI's completions, chat, embeddings and models: its requests mapped onto calls of functions, and its answers."""
