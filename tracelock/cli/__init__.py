"""The command line: a thin face that parses, calls and prints."""
