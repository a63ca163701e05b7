"""Links from a task's page to Planet's."""
