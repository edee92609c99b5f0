"""How often a healthy process would wake somebody."""
