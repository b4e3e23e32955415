"""Trying model files in processes that may die of it, so that no worker does."""
