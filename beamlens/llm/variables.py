"""Environment variables of the default provider: they are looked at before anything of it is imported."""

KEY_VARIABLE = "ANTHROPIC_API_KEY"
BASE_VARIABLE = "ANTHROPIC_BASE_URL"
