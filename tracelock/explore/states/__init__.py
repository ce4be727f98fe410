"""The ``states`` strategy: the reachable states of a scenario, each visited once."""
