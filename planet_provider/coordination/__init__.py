"""What processes share: the rate limit, locks and the journal of orders, in memory, files or Redis."""
