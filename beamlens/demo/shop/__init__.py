"""A small web shop's order service. It stands for any service and knows nothing of who watches it."""
