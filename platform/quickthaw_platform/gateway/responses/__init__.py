"""OpenAI's Responses: calls whose answers are lists of items, kept so that the next call can go on from them."""
