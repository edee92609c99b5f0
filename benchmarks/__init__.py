"""Every performance claim of the README, measured beside its peers in one run."""
