"""LoRA fine-tuning of vision-language models on data in SARLANG-1M's layout."""
