"""Sensors: tasks that wait for Planet, on a worker or deferred."""
