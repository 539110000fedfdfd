"""sarlens-nano's forward pass for training: one picture, many questions.

The model's own modules hold the weights; this module only applies them, in bf16, and gives what the modules of
transformers give (the tests compare both). Its gain is the layout: a picture is encoded once, and every question
about it sees the picture and itself, never another question, exactly as it will when it is asked alone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf
from transformers import Idefics3ForConditionalGeneration

from sarbench.nano.architecture import PATCH_SIDE


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures and the conversations about them.

    ``pictures`` is uint8 of shape (picture, side, side). ``prefix`` is int64 of shape (token,): what stands before
    every question, with one image token for each place that the picture fills.

    The next have shape (picture, row, token): ``tokens``, int64; ``turns``, int64, which number the conversations of a
    row from 1, padding is 0; ``targets``, int64, the tokens that should follow, -100 where that is not to be learnt;
    ``weights``, float32, how much each target counts.

    ``maps``, float32 of shape (picture, channel, patch row, patch col), are what the encoder is to find where.
    """

    pictures: Tensor
    prefix: Tensor
    tokens: Tensor
    turns: Tensor
    targets: Tensor
    weights: Tensor
    maps: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))


class Forward:
    """Applies a model to batches; ``dtype`` is that of activations, weights stay in float32."""

    def __init__(self, model: Idefics3ForConditionalGeneration, dtype: torch.dtype = torch.bfloat16) -> None:
        self.model = model
        self.dtype = dtype
        vision, text = model.config.vision_config, model.config.text_config
        self.vision_heads = vision.num_attention_heads
        self.text_heads = text.num_attention_heads
        self.image_token = model.config.image_token_id
        self.theta = text.rope_parameters["rope_theta"]

    def patches(self, pictures: Tensor) -> Tensor:
        """Return the encoder's output, shape (picture, patch, feature), for uint8 pictures of (picture, side, side)."""
        vision = self.model.model.vision_model
        embed = vision.embeddings.patch_embedding
        count, side, _ = pictures.shape
        grid = side // PATCH_SIDE
        grey = pictures.to(torch.float32).div_(127.5).sub_(1).to(self.dtype)
        squares = grey.view(count, grid, PATCH_SIDE, grid, PATCH_SIDE).transpose(2, 3).reshape(count, grid**2, -1)
        # Red, green and blue are the same grey, so their weights add up.
        weight = embed.weight.sum(1).flatten(1)
        x = nnf.linear(squares, weight.to(self.dtype), embed.bias.to(self.dtype))
        x = x + vision.embeddings.position_embedding.weight.to(self.dtype)
        for layer in vision.encoder.layers:
            q, k, v = self._heads(self._layer_norm(layer.layer_norm1, x), layer.self_attn, self.vision_heads)
            x = x + self._linear(layer.self_attn.out_proj, _merge(_attend(q, k, v)))
            hidden = self._linear(layer.mlp.fc1, self._layer_norm(layer.layer_norm2, x))
            x = x + self._linear(layer.mlp.fc2, layer.mlp.activation_fn(hidden))
        return self._layer_norm(vision.post_layernorm, x)

    def picture_tokens(self, patches: Tensor) -> Tensor:
        """Return what the decoder sees of the encoder's output, shape (picture, token, feature)."""
        connector = self.model.model.connector
        shuffled = connector.pixel_shuffle(patches, connector.scale_factor)
        return self._linear(connector.modality_projection.proj, shuffled)

    def hidden(self, seen: Tensor, batch: Batch) -> Tensor:
        """Return the decoder's last state for every token of the rows, shape (picture, row, token, feature)."""
        text = self.model.model.text_model
        count, rows, length = batch.tokens.shape
        table = text.embed_tokens.weight
        before = nnf.embedding(batch.prefix, table).to(self.dtype).expand(count, -1, -1)
        before = before.masked_scatter((batch.prefix == self.image_token)[None, :, None], seen)
        x = torch.cat([before, nnf.embedding(batch.tokens.flatten(1), table).to(self.dtype)], 1)
        prefix = before.shape[1]
        turn, mask = self._rotation(batch, prefix), self._mask(batch, prefix)
        for layer in text.layers:
            q, k, v = self._heads(self._rms_norm(layer.input_layernorm, x), layer.self_attn, self.text_heads, turn)
            mixed = _attend_rows(q, k, v, prefix, mask)
            x = x + self._linear(layer.self_attn.o_proj, mixed)
            y = self._rms_norm(layer.post_attention_layernorm, x)
            gate = nnf.silu(self._linear(layer.mlp.gate_proj, y))
            x = x + self._linear(layer.mlp.down_proj, gate * self._linear(layer.mlp.up_proj, y))
        x = self._rms_norm(text.norm, x[:, prefix:])
        return x.view(count, rows, length, -1)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return scores over the vocabulary in float32 for states of shape (…, feature)."""
        return nnf.linear(hidden, self.model.lm_head.weight.to(self.dtype)).float()

    def _linear(self, layer: nn.Linear, x: Tensor) -> Tensor:
        bias = None if layer.bias is None else layer.bias.to(self.dtype)
        return nnf.linear(x, layer.weight.to(self.dtype), bias)

    def _layer_norm(self, norm: nn.LayerNorm, x: Tensor) -> Tensor:
        return nnf.layer_norm(x, norm.normalized_shape, norm.weight.to(self.dtype), norm.bias.to(self.dtype), norm.eps)

    def _rms_norm(self, norm: nn.Module, x: Tensor) -> Tensor:
        return nnf.rms_norm(x, (x.shape[-1],), norm.weight.to(self.dtype), norm.variance_epsilon)

    def _heads(
        self, x: Tensor, attention: nn.Module, heads: int, turn: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Project to queries, keys and values in one product; each has shape (sequence, head, token, feature).

        With ``turn`` the queries and keys are rotated by it.
        """
        parts = (attention.q_proj, attention.k_proj, attention.v_proj)
        weight = torch.cat([part.weight for part in parts]).to(self.dtype)
        bias = None if parts[0].bias is None else torch.cat([part.bias for part in parts]).to(self.dtype)
        all_three = nnf.linear(x, weight, bias).unflatten(-1, (3, heads, -1))
        if turn is None:
            q, k, v = all_three.unbind(2)
        else:
            q, k = _rotate(all_three[:, :, :2], turn).unbind(2)
            v = all_three[:, :, 2]
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def _rotation(self, batch: Batch, prefix: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine of every token's rotary angles, each of shape (picture, token, 1, 1, feature of a head)."""
        count, _, length = batch.turns.shape
        place = torch.arange(length, device=batch.turns.device)
        begins = batch.turns != nnf.pad(batch.turns, (1, 0))[..., :-1]
        since = place - torch.where(begins, place, 0).cummax(-1).values
        before = torch.arange(prefix, device=batch.turns.device).expand(count, -1)
        position = torch.cat([before, (since + prefix).flatten(1)], 1)
        width = self.model.config.text_config.head_dim
        rates = self.theta ** (-torch.arange(0, width, 2, device=position.device) / width)
        angles = (position[..., None] * rates).repeat(1, 1, 2)[:, :, None, None]
        return angles.cos().to(self.dtype), angles.sin().to(self.dtype)

    def _mask(self, batch: Batch, prefix: int) -> Tensor:
        """What a row's tokens see, 0 or -inf, shape (picture · row, 1, token, prefix + token)."""
        turns = batch.turns.flatten(0, 1)
        length = turns.shape[-1]
        own = (turns[:, :, None] == turns[:, None, :]) & turns.new_ones(length, length).tril().bool()
        sees = nnf.pad(own, (prefix, 0), value=True)[:, None]
        return torch.zeros_like(sees, dtype=self.dtype).masked_fill_(~sees, -torch.inf)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention spelled out: on the CPU in bf16 its products are twice as fast as the fused kernel."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1) @ v


def _attend_rows(q: Tensor, k: Tensor, v: Tensor, prefix: int, mask: Tensor) -> Tensor:
    """Attention of the prefix to itself, causal, and of each row to the prefix and itself, masked."""
    count, heads, _, width = q.shape
    rows, length = mask.shape[0] // count, mask.shape[2]
    q0, k0, v0 = (part[:, :, :prefix] for part in (q, k, v))
    causal = torch.full((prefix, prefix), -torch.inf, dtype=q.dtype, device=q.device).triu_(1)
    first = _merge(_attend(q0, k0, v0, causal))

    def split(part: Tensor) -> Tensor:
        return part[:, :, prefix:].unflatten(2, (rows, length)).transpose(1, 2)

    def joined(before: Tensor, part: Tensor) -> Tensor:
        return torch.cat([before[:, None].expand(-1, rows, -1, -1, -1), split(part)], 3).flatten(0, 1)

    later = _attend(split(q).flatten(0, 1), joined(k0, k), joined(v0, v), mask)
    return torch.cat([first, _merge(later).reshape(count, rows * length, heads * width)], 1)


def _merge(heads: Tensor) -> Tensor:
    """Lay heads side by side: (sequence, head, token, feature) to (sequence, token, head · feature)."""
    return heads.transpose(1, 2).flatten(2)


def _rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding, halves paired as Llama pairs them."""
    cosine, sine = turn
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat([-second, first], -1) * sine
