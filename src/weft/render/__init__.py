"""Topology and runs as text and diagrams: pure functions."""
