"""Validation: how well a model predicts a text, by the protocols that published perplexities follow."""
