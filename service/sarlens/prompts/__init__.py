"""The prompts of SARLANG-1M: templates, answer types, and parsing of answers."""
