"""Show and test the provider in a real, local Airflow. Not part of the wheel."""
