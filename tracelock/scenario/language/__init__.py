"""The scenario language: its pydantic models, its expressions and its JSON Schema."""
