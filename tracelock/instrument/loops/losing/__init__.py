"""What a host leaves behind that crashes, on a loop that others use, too; and how coroutines end
that are in the middle of their code."""
