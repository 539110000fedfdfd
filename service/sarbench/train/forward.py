"""Packed forward pass of sarlens-nano for training: one image encoding, many questions.

This module applies the weights of the transformers modules in bf16 and matches their output, which the tests
compare. An image is encoded once. Each question attends to the image and to itself, but not to other questions, as
in inference.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf
from transformers import Idefics3ForConditionalGeneration

from sarbench.nano.dimensions import PATCH_SIDE


@dataclass(frozen=True, slots=True)
class Batch:
    """Images with packed conversations.

    ``images`` is uint8, shape (image, side, side). ``prefix`` is int64, shape (token,): the tokens before every
    question, with one image token per projected patch.

    Shape (image, row, token): ``tokens``, int64; ``segment_ids``, int64, the index of the conversation in its row
    from 1, or 0 for padding; ``targets``, int64, the next tokens, or -100 if not trained; ``weights``, float32, the
    loss weight of each target.

    ``object_maps``, float32, shape (image, channel, patch row, patch column), are targets of the auxiliary head.
    """

    images: Tensor
    prefix: Tensor
    tokens: Tensor
    segment_ids: Tensor
    targets: Tensor
    weights: Tensor
    object_maps: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        return Batch(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))


class PackedForward:
    """Forward pass of a model on batches. Activations have type ``dtype``; weights stay in float32."""

    def __init__(self, model: Idefics3ForConditionalGeneration, dtype: torch.dtype = torch.bfloat16) -> None:
        self.model = model
        self.dtype = dtype
        vision, text = model.config.vision_config, model.config.text_config
        self.vision_heads = vision.num_attention_heads
        self.text_heads = text.num_attention_heads
        self.image_token = model.config.image_token_id
        self.theta = text.rope_parameters["rope_theta"]

    def encode_images(self, images: Tensor) -> Tensor:
        """Return the encoder's output, shape (image, patch, feature), for uint8 images of shape (image, side, side)."""
        vision = self.model.model.vision_model
        embed = vision.embeddings.patch_embedding
        count, side, _ = images.shape
        grid = side // PATCH_SIDE
        normalized = images.to(torch.float32).div_(127.5).sub_(1).to(self.dtype)
        patches = normalized.view(count, grid, PATCH_SIDE, grid, PATCH_SIDE).transpose(2, 3).reshape(count, grid**2, -1)
        # The three channels hold the same gray level, so their weights can be summed.
        weight = embed.weight.sum(1).flatten(1)
        x = nnf.linear(patches, weight.to(self.dtype), embed.bias.to(self.dtype))
        x = x + vision.embeddings.position_embedding.weight.to(self.dtype)
        for layer in vision.encoder.layers:
            q, k, v = self._project_heads(self._layer_norm(layer.layer_norm1, x), layer.self_attn, self.vision_heads)
            x = x + self._linear(layer.self_attn.out_proj, _merge_heads(_attend(q, k, v)))
            hidden = self._linear(layer.mlp.fc1, self._layer_norm(layer.layer_norm2, x))
            x = x + self._linear(layer.mlp.fc2, layer.mlp.activation_fn(hidden))
        return self._layer_norm(vision.post_layernorm, x)

    def project_to_tokens(self, patches: Tensor) -> Tensor:
        """Return the decoder's image embeddings, shape (image, token, feature), from the encoder's output."""
        connector = self.model.model.connector
        shuffled = connector.pixel_shuffle(patches, connector.scale_factor)
        return self._linear(connector.modality_projection.proj, shuffled)

    def decode(self, image_tokens: Tensor, batch: Batch) -> Tensor:
        """Return the decoder's last hidden state of each row token, shape (image, row, token, feature)."""
        text = self.model.model.text_model
        count, rows, length = batch.tokens.shape
        embeddings = text.embed_tokens.weight
        prefix_embeddings = nnf.embedding(batch.prefix, embeddings).to(self.dtype).expand(count, -1, -1)
        prefix_embeddings = prefix_embeddings.masked_scatter(
            (batch.prefix == self.image_token)[None, :, None], image_tokens
        )
        x = torch.cat([prefix_embeddings, nnf.embedding(batch.tokens.flatten(1), embeddings).to(self.dtype)], 1)
        prefix_length = prefix_embeddings.shape[1]
        rotation, mask = self._rotation(batch, prefix_length), self._attention_mask(batch, prefix_length)
        for layer in text.layers:
            q, k, v = self._project_heads(
                self._rms_norm(layer.input_layernorm, x), layer.self_attn, self.text_heads, rotation
            )
            attended = _attend_rows(q, k, v, prefix_length, mask)
            x = x + self._linear(layer.self_attn.o_proj, attended)
            y = self._rms_norm(layer.post_attention_layernorm, x)
            gate = nnf.silu(self._linear(layer.mlp.gate_proj, y))
            x = x + self._linear(layer.mlp.down_proj, gate * self._linear(layer.mlp.up_proj, y))
        x = self._rms_norm(text.norm, x[:, prefix_length:])
        return x.view(count, rows, length, -1)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return float32 logits over the vocabulary for hidden states of shape (…, feature)."""
        return nnf.linear(hidden, self.model.lm_head.weight.to(self.dtype)).float()

    def _linear(self, layer: nn.Linear, x: Tensor) -> Tensor:
        bias = None if layer.bias is None else layer.bias.to(self.dtype)
        return nnf.linear(x, layer.weight.to(self.dtype), bias)

    def _layer_norm(self, norm: nn.LayerNorm, x: Tensor) -> Tensor:
        return nnf.layer_norm(x, norm.normalized_shape, norm.weight.to(self.dtype), norm.bias.to(self.dtype), norm.eps)

    def _rms_norm(self, norm: nn.Module, x: Tensor) -> Tensor:
        return nnf.rms_norm(x, (x.shape[-1],), norm.weight.to(self.dtype), norm.variance_epsilon)

    def _project_heads(
        self, x: Tensor, attention: nn.Module, heads: int, rotation: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Project to queries, keys, and values in one product, each of shape (sequence, head, token, feature).

        With ``rotation``, queries and keys get rotary embeddings.
        """
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        weight = torch.cat([projection.weight for projection in projections]).to(self.dtype)
        biases = [projection.bias for projection in projections]
        bias = None if biases[0] is None else torch.cat(biases).to(self.dtype)
        qkv = nnf.linear(x, weight, bias).unflatten(-1, (3, heads, -1))
        if rotation is None:
            q, k, v = qkv.unbind(2)
        else:
            q, k = _apply_rotary(qkv[:, :, :2], rotation).unbind(2)
            v = qkv[:, :, 2]
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def _rotation(self, batch: Batch, prefix_length: int) -> tuple[Tensor, Tensor]:
        """Return cosine and sine of the rotary angles, each of shape (image, token, 1, 1, head feature)."""
        count, _, length = batch.segment_ids.shape
        index = torch.arange(length, device=batch.segment_ids.device)
        is_start = batch.segment_ids != nnf.pad(batch.segment_ids, (1, 0))[..., :-1]
        offset = index - torch.where(is_start, index, 0).cummax(-1).values
        prefix_position = torch.arange(prefix_length, device=batch.segment_ids.device).expand(count, -1)
        position = torch.cat([prefix_position, (offset + prefix_length).flatten(1)], 1)
        width = self.model.config.text_config.head_dim
        rates = self.theta ** (-torch.arange(0, width, 2, device=position.device) / width)
        angles = (position[..., None] * rates).repeat(1, 1, 2)[:, :, None, None]
        return angles.cos().to(self.dtype), angles.sin().to(self.dtype)

    def _attention_mask(self, batch: Batch, prefix_length: int) -> Tensor:
        """Return the additive mask of row tokens, 0 or -inf, shape (image · row, 1, token, prefix + token)."""
        segment_ids = batch.segment_ids.flatten(0, 1)
        length = segment_ids.shape[-1]
        causal = segment_ids.new_ones(length, length).tril().bool()
        same_segment = (segment_ids[:, :, None] == segment_ids[:, None, :]) & causal
        visible = nnf.pad(same_segment, (prefix_length, 0), value=True)[:, None]
        return torch.zeros_like(visible, dtype=self.dtype).masked_fill_(~visible, -torch.inf)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Plain attention. On CPUs in bf16, its matrix products are twice as fast as the fused kernel."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1) @ v


def _attend_rows(q: Tensor, k: Tensor, v: Tensor, prefix_length: int, mask: Tensor) -> Tensor:
    """Causal attention of the prefix to itself, and masked attention of each row to the prefix and itself."""
    count, heads, _, width = q.shape
    rows, length = mask.shape[0] // count, mask.shape[2]
    q0, k0, v0 = (tensor[:, :, :prefix_length] for tensor in (q, k, v))
    causal = torch.full((prefix_length, prefix_length), -torch.inf, dtype=q.dtype, device=q.device).triu_(1)
    prefix_output = _merge_heads(_attend(q0, k0, v0, causal))

    def split_rows(tensor: Tensor) -> Tensor:
        return tensor[:, :, prefix_length:].unflatten(2, (rows, length)).transpose(1, 2)

    def with_prefix(prefix: Tensor, tensor: Tensor) -> Tensor:
        return torch.cat([prefix[:, None].expand(-1, rows, -1, -1, -1), split_rows(tensor)], 3).flatten(0, 1)

    row_output = _attend(split_rows(q).flatten(0, 1), with_prefix(k0, k), with_prefix(v0, v), mask)
    return torch.cat([prefix_output, _merge_heads(row_output).reshape(count, rows * length, heads * width)], 1)


def _merge_heads(heads: Tensor) -> Tensor:
    """Concatenate heads: (sequence, head, token, feature) to (sequence, token, head · feature)."""
    return heads.transpose(1, 2).flatten(2)


def _apply_rotary(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Apply rotary position embeddings, with halves paired as in Llama."""
    cosine, sine = rotation
    first, second = x.chunk(2, -1)
    return x * cosine + torch.cat([-second, first], -1) * sine
