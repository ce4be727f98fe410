"""Real concurrency bugs of published libraries, each as a small program: see ``cases``."""
