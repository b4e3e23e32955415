"""An online model-serving gateway with canary routing."""

__version__ = "0.4.0"
