"""Language models: one contract, one file a provider, and the offline analyst that needs none."""
