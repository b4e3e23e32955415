"""Load on a running gateway, and the benchmark that compares it with what its server can do at best."""
