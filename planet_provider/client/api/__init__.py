"""Planet's endpoints as functions that return a call, and what is made of several calls."""
