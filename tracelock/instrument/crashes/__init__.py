"""Crashes that lose what was not synced: a model of the disk, its states, where one may come."""
