"""What is kept out of a report: values of variables, attributes and arguments of given names."""
