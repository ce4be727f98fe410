"""YAML and JSON documents as plain data that knows the place of every value."""
