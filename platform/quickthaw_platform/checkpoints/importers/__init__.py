"""Where checkpoints come from: a Hugging Face directory, a GGUF file, a Python package that ships one of them."""
