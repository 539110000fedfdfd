"""LoRA fine-tuning of vision-language models on data in the layout of SARLANG-1M."""
