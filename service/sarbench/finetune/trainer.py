"""LoRA training with peft and TRL, from a configuration to an adapter that vLLM serves."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
from trl import SFTConfig, SFTTrainer

from sarbench.dataset.store import first_line
from sarbench.errors import TrainingError
from sarbench.finetune.config import FinetuneConfig, lora_target_modules
from sarbench.finetune.training_data import build_training_dataset

CHECKPOINT_DIR = "checkpoints"


def make_trainer(config: FinetuneConfig, out: Path, device: torch.device) -> SFTTrainer:
    """Load the base model and the data, and return a trainer. Checkpoints are written below ``out``.

    Raises:
        TrainingError: the base model cannot be loaded, or the data has no suitable train texts.
        DatasetError: the data cannot be read.
    """
    if config.base_model.startswith((".", "/", "~")) and not Path(config.base_model).is_dir():
        raise TrainingError(f"the base model {config.base_model} is not a directory")
    try:
        pattern = lora_target_modules(AutoConfig.from_pretrained(config.base_model).model_type)
        # Check the data before the model, whose weights can take gigabytes to download.
        train_dataset = build_training_dataset(config)
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        model = AutoModelForImageTextToText.from_pretrained(config.base_model, dtype=dtype)
        processor = AutoProcessor.from_pretrained(config.base_model)
    except (OSError, ValueError, ImportError) as error:
        raise TrainingError(f"the base model {config.base_model} cannot be loaded: {first_line(error)}") from error
    return SFTTrainer(
        model=model,
        args=_training_arguments(config, out / CHECKPOINT_DIR, device),
        train_dataset=train_dataset,
        processing_class=processor,
        peft_config=LoraConfig(
            r=config.lora_rank, lora_alpha=2 * config.lora_rank, target_modules=pattern, task_type="CAUSAL_LM"
        ),
    )


def train_adapter(trainer: SFTTrainer, out: Path) -> int:
    """Train from the last checkpoint if one exists, write the adapter into ``out``, and return the number of steps."""
    trainer.train(resume_from_checkpoint=any((out / CHECKPOINT_DIR).glob("checkpoint-*")))
    trainer.model.save_pretrained(str(out))
    return int(trainer.state.global_step)


def _training_arguments(config: FinetuneConfig, checkpoint_dir: Path, device: torch.device) -> SFTConfig:
    on_gpu = device.type == "cuda"
    return SFTConfig(
        output_dir=str(checkpoint_dir),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_ratio,
        lr_scheduler_type="cosine",
        seed=config.seed,
        save_strategy="epoch",
        save_total_limit=1,
        logging_steps=10,
        report_to="none",
        use_cpu=not on_gpu,
        bf16=on_gpu,
        gradient_checkpointing=on_gpu,
        dataloader_pin_memory=on_gpu,
        max_length=None,
        remove_unused_columns=False,
    )
