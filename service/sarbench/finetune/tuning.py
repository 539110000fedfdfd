"""LoRA by peft, steps by TRL, from a recipe to an adapter that vLLM serves."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
from trl import SFTConfig, SFTTrainer

from sarbench.errors import TrainingError
from sarbench.finetune.recipe import Recipe, adapted
from sarbench.finetune.samples import samples

CHECKPOINTS = "checkpoints"


def prepared(recipe: Recipe, out: Path, device: torch.device) -> SFTTrainer:
    """Load the base and look at the data; checkpoints will lie below ``out``.

    Raises:
        TrainingError: the base cannot be loaded, or there is nothing to train on.
        DatasetError: the data cannot be read.
    """
    try:
        pattern = adapted(AutoConfig.from_pretrained(recipe.base).model_type)
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        model = AutoModelForImageTextToText.from_pretrained(recipe.base, dtype=dtype)
        processor = AutoProcessor.from_pretrained(recipe.base)
    except (OSError, ValueError, ImportError) as error:
        raise TrainingError(f"{recipe.base} cannot be loaded: {error}") from error
    return SFTTrainer(
        model=model,
        args=_arguments(recipe, out / CHECKPOINTS, device),
        train_dataset=samples(recipe),
        processing_class=processor,
        peft_config=LoraConfig(
            r=recipe.rank, lora_alpha=2 * recipe.rank, target_modules=pattern, task_type="CAUSAL_LM"
        ),
    )


def finetune(trainer: SFTTrainer, out: Path) -> int:
    """Train, going on from the last epoch's checkpoint, write the adapter into ``out``, and return the steps in all."""
    trainer.train(resume_from_checkpoint=any((out / CHECKPOINTS).glob("checkpoint-*")))
    trainer.model.save_pretrained(str(out))
    return int(trainer.state.global_step)


def _arguments(recipe: Recipe, checkpoints: Path, device: torch.device) -> SFTConfig:
    on_gpu = device.type == "cuda"
    return SFTConfig(
        output_dir=str(checkpoints),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch,
        learning_rate=recipe.rate,
        warmup_steps=recipe.warm_up,
        lr_scheduler_type="cosine",
        seed=recipe.seed,
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
