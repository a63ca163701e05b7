"""Hooks: from an Airflow connection to sessions with Planet."""
