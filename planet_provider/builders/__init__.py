"""What DAG authors import to describe requests: filters, tools, deliveries, areas. Pure, and checked."""
