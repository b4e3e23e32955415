"""Tells the outside what was decided: targets, formats, signatures, the courier. It decides nothing itself."""
