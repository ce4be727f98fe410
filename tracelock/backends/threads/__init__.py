"""The threading backend: workers are OS threads."""
