"""What outlives a schedule (modules, classes, closures, the process) and how it is put back."""
