"""From a scenario to worker programs: lowering, generated code, the machines."""
