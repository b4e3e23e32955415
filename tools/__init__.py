"""What the maintainers run and the gateway never imports."""
