"""Real Python code under control: its locks, its shared accesses, its threads and tasks."""
