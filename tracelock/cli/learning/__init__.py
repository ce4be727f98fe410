"""What comes with the package to learn from: its documented scenarios, and a tour of them."""
