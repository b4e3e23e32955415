"""One request: which version, when it runs, what is answered; and the table of routes that changes under it."""
