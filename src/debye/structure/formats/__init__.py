"""One module a file format: reading it and replacing its B-factors."""
