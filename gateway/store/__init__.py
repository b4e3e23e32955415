"""Where routes are kept: Redis, a store in memory for tests, and the embedded server that stands in for Redis."""
