"""The only package that knows every part: it builds a data worker, and the control process, from the settings."""
