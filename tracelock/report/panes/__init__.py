"""The page of a run of real code: its source in the middle, narrow lanes beside it."""
