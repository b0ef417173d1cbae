"""What a configuration needs in a development server of Vault, made there step by step."""
