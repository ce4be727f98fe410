"""The multiprocessing backend: workers are OS processes."""
