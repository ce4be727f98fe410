"""What a trace implies: columns, object states, happens-before orders, locksets, how it ends."""
