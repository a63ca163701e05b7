"""The tests with the lowest and the newest Airflow and Python that are supported."""
