"""Placing an order exactly once."""
