"""What lasts: the log in SQLite and its guard against forks. Storage keeps bytes and knows nothing of their meaning."""
