"""What is outside of the run: what nobody in it answers. See ``kinds`` for what there is."""
