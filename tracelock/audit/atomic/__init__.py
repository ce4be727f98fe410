"""All clients of some calls at once: is each call a single step because of the locks it holds?"""
