"""How requests are sent: sessions, retries, redirects, pages, and what is kept out of logs."""
