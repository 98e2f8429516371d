"""The tables of a comparison, one a file: from the report to text in cells."""
