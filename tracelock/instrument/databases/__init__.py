"""Databases of real code as shared resources: who may go on is decided by the schedule."""
