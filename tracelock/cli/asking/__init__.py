"""Commands that ask of code itself, and of no scenario: a statement, a class."""
