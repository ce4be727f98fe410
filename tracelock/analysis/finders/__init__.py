"""One module for each family of findings: functions from a trace's ``Facts`` to findings."""
