"""Trainers of other libraries, recorded for real; each file is skipped where its library is not installed."""
