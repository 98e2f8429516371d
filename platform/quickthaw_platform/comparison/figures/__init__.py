"""The figures of a comparison, one a file: what each shows, its text alternative in numbers, and how it is drawn."""
