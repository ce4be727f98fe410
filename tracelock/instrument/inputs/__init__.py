"""What a program asks the scheduler for: its inputs, as choices like those of who goes on."""
