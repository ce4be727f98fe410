"""Schedules of a sampler on tasks, of which neither a record nor what steps touch is wanted."""
