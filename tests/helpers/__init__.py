"""What several rooms of tests use: scenarios, random ones, traces by hand, programs to run."""
