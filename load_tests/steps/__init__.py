"""What each step of a request costs: servers that each do one thing more than the one before, loaded in turns."""
