"""Weights files: the record that says how to use the parameters, the file itself, and conversions into it."""
