"""Hooks of other libraries, each of which is imported when its hook is used."""
