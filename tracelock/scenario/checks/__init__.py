"""What must hold of a scenario beyond the types of its values."""
