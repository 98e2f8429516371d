"""What an answer may be: grammars, the state of an answer in one, and the masks of tokens that follow from it."""
