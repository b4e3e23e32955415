"""A sample of the live traffic, kept on this machine for a while, so that versions can be replayed on it."""
