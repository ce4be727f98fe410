"""What a host leaves behind that crashes, on a loop that others use, too."""
