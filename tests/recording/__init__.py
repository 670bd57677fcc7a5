"""The public recorder."""
