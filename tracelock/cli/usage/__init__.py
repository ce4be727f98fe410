"""How the command line explains itself: parsers, examples, suggestions, completion."""
