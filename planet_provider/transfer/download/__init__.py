"""Fetching one file or many: workers, ranges, hashes, renewed links, retries."""
