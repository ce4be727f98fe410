"""Traces and verdicts as text and pictures."""
