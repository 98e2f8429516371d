"""Whether what an answer must be can be compiled: checked before admission, in a process that may be killed."""
