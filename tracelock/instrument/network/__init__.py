"""A network in memory: sockets between the workers of one run, under control."""
