#!/usr/bin/python3
"""make_model.py OUT.gguf [LAYERS FEED_FORWARD]: a small model of the llama architecture, valid and without any sense.

It knows one thing, in its embedding and output matrices: which character follows which in a line of text. Its layers are zeros,
which cost what any weights cost and change nothing; in the file they are a hole. Their size sets how long a token takes. The
format is GGUF 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), little endian, 32-bit floats.
"""

import array
import math
import struct
import sys

DIM, HEADS, KV_HEADS, ALIGNMENT = 384, 6, 2, 32
TEXT = "the cells of the plate are counted, and the counts of the plate go to the table of the run.\n" * 3
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
TOKENS = ([("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)] + [("<0x%02X>" % i, BYTE) for i in range(256)] +
          [("\u2581", NORMAL)] + [(chr(c), NORMAL) for c in range(33, 127)])
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key, value):
    """A pair of the metadata; the type follows from the value, and that of a list from its first item."""
    def typed(one):
        if isinstance(one, bool):
            return 7, struct.pack("<?", one)
        if isinstance(one, float):
            return 6, struct.pack("<f", one)
        if isinstance(one, int):
            return 4, struct.pack("<I", one)
        return 8, text(one)

    if isinstance(value, list):
        kinds = [typed(one) for one in value]
        return text(key) + struct.pack("<IIQ", 9, kinds[0][0], len(value)) + b"".join(data for _, data in kinds)
    kind, data = typed(value)
    return text(key) + struct.pack("<I", kind) + data


def followers():
    """For each token the logarithms of what follows it."""
    number = {token: i for i, (token, _) in enumerate(TOKENS)}
    number[" "], number["\n"] = number["\u2581"], number["<0x0A>"]
    counts = [[1e-6] * len(TOKENS) for _ in TOKENS]
    for one, next_one in zip(TEXT, TEXT[1:]):
        counts[number[one]][number[next_one]] += 1
    for row in counts:
        if sum(row) < 1e-2:
            row[number[" "]] += 1
        row[2] += sum(row) * 0.004  # now and then an answer ends by itself
    return [[max(-12.0, math.log(count / sum(row))) for count in row] for row in counts]


def tensors(layers, feed_forward):
    """Name, dimensions (the innermost first) and values, None for zeros."""
    vocabulary = len(TOKENS)
    embedding = array.array("f", bytes(4 * vocabulary * DIM))
    output = array.array("f", bytes(4 * vocabulary * DIM))
    logarithms = followers()
    for i in range(vocabulary):
        embedding[i * DIM + i] = 1.0
        for j in range(vocabulary):
            output[i * DIM + j] = logarithms[j][i] / math.sqrt(DIM)
    ones = array.array("f", [1.0] * DIM)
    yield "token_embd.weight", (DIM, vocabulary), embedding
    yield "output.weight", (DIM, vocabulary), output
    yield "output_norm.weight", (DIM,), ones
    kv = DIM // HEADS * KV_HEADS
    for layer in range(layers):
        for name in ("attn_norm", "ffn_norm"):
            yield f"blk.{layer}.{name}.weight", (DIM,), ones
        for name, shape in (("attn_q", (DIM, DIM)), ("attn_k", (DIM, kv)), ("attn_v", (DIM, kv)), ("attn_output", (DIM, DIM)),
                            ("ffn_gate", (DIM, feed_forward)), ("ffn_up", (DIM, feed_forward)), ("ffn_down", (feed_forward, DIM))):
            yield f"blk.{layer}.{name}.weight", shape, None


def write(path, layers, feed_forward):
    metadata = {
        "general.architecture": "llama", "general.name": "tiny", "general.alignment": ALIGNMENT, "general.file_type": 0,
        "llama.context_length": 65536, "llama.embedding_length": DIM, "llama.block_count": layers,
        "llama.feed_forward_length": feed_forward, "llama.attention.head_count": HEADS, "llama.attention.head_count_kv": KV_HEADS,
        "llama.rope.dimension_count": DIM // HEADS, "llama.attention.layer_norm_rms_epsilon": 1e-5, "llama.vocab_size": len(TOKENS),
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default", "tokenizer.ggml.tokens": [token for token, _ in TOKENS],
        "tokenizer.ggml.scores": [-float(i) for i in range(len(TOKENS))], "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_space_prefix": False, "tokenizer.chat_template": TEMPLATE,
    }
    # Signed, unlike all other whole numbers.
    kinds = text("tokenizer.ggml.token_type") + struct.pack(f"<IIQ{len(TOKENS)}i", 9, 5, len(TOKENS), *(kind for _, kind in TOKENS))
    every = list(tensors(layers, feed_forward))
    table, offset = b"", 0
    for name, shape, _ in every:
        table += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        offset += (4 * math.prod(shape) + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    with open(path, "wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(every), len(metadata) + 1))
        file.write(b"".join(entry(key, value) for key, value in metadata.items()) + kinds + table)
        begin = (file.tell() + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        for _, shape, values in every:
            file.seek(begin)
            if values is not None:
                file.write(values.tobytes())
            begin += (4 * math.prod(shape) + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        file.truncate(begin)


if __name__ == "__main__":
    write(sys.argv[1], *map(int, sys.argv[2:4] or (4, 4096)))
