"""Campaigns: many targets, searched in turns for hours; a folder keeps what they showed."""
