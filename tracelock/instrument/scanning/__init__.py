"""What is known of the objects of the process from one exploration to the next."""
