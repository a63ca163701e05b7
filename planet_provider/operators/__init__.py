"""Operators: tasks that search, order, download and verify Planet imagery."""
