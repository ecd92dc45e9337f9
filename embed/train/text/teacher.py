"""The teacher: all-MiniLM-L6-v2 as an ONNX graph built from its safetensors, run by OpenVINO.

Its package carries weights and a tokenizer but no runtime we want, so the six BERT layers are written
out here, operator by operator: token ids and a mask in, one unit-length mean-pooled vector per text out.
"""

from pathlib import Path

import numpy as np
import onnx
import openvino as ov
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer

LAYERS = 6
HEADS = 12
HIDDEN = 384
TOKENS_MAX = 256
TOKENS_PER_BATCH = 4096

# Greek letters stand for their English names in scientific prose; the teacher knows the names better.
GREEK_NAMES = dict(
    zip(
        "αβγδεζηθικλμνξοπρστυφχψω",
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi "
        "chi psi omega".split(),
    )
)


class Graph:
    """Collects the nodes and constants of one ONNX graph."""

    def __init__(self):
        self.nodes = []
        self.constants = []
        self.names = 0

    def constant(self, array):
        self.names += 1
        name = f"c{self.names}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator, *inputs, output=None, **attributes):
        self.names += 1
        name = output or f"v{self.names}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name


def build_onnx(weights, path):
    """Writes the model as ONNX. Inputs `ids`, `mask`: int64 [n, t]; output `vectors`: float32 [n, 384]."""
    g = Graph()

    def linear(x, prefix):
        product = g.add("MatMul", x, g.constant(weights[prefix + ".weight"].T))
        return g.add("Add", product, g.constant(weights[prefix + ".bias"]))

    def norm(x, prefix):
        scale, shift = (g.constant(weights[f"{prefix}.{part}"]) for part in ("weight", "bias"))
        return g.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=1e-12)

    def heads(x):
        split = g.add("Reshape", x, g.constant(np.array([0, 0, HEADS, HIDDEN // HEADS])))
        return g.add("Transpose", split, perm=[0, 2, 1, 3])

    mask = g.add("Cast", "mask", to=TensorProto.FLOAT)
    absent = g.add("Sub", g.constant(np.float32(1)), mask)
    penalty = g.add("Mul", absent, g.constant(np.float32(-1e4)))
    penalty = g.add("Unsqueeze", penalty, g.constant(np.array([1, 2])))

    words = g.add("Gather", g.constant(weights["embeddings.word_embeddings.weight"]), "ids")
    length = g.add("Gather", g.add("Shape", "ids"), g.constant(np.array([1])))
    # Every token is of segment 0, so its constant row joins the positions.
    places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    places = g.add("Slice", g.constant(places), g.constant(np.array([0])), length, g.constant(np.array([0])))
    x = norm(g.add("Add", words, places), "embeddings.LayerNorm")

    for layer in range(LAYERS):
        p = f"encoder.layer.{layer}."
        query = g.add("Mul", linear(x, p + "attention.self.query"), g.constant(np.float32((HIDDEN / HEADS) ** -0.5)))
        query, key, value = heads(query), heads(linear(x, p + "attention.self.key")), heads(
            linear(x, p + "attention.self.value")
        )
        scores = g.add("MatMul", query, g.add("Transpose", key, perm=[0, 1, 3, 2]))
        attention = g.add("Softmax", g.add("Add", scores, penalty), axis=-1)
        seen = g.add("Transpose", g.add("MatMul", attention, value), perm=[0, 2, 1, 3])
        seen = g.add("Reshape", seen, g.constant(np.array([0, 0, HIDDEN])))
        x = norm(g.add("Add", x, linear(seen, p + "attention.output.dense")), p + "attention.output.LayerNorm")
        inner = g.add("Gelu", linear(x, p + "intermediate.dense"))
        x = norm(g.add("Add", x, linear(inner, p + "output.dense")), p + "output.LayerNorm")

    masked = g.add("Mul", x, g.add("Unsqueeze", mask, g.constant(np.array([2]))))
    total = g.add("ReduceSum", masked, g.constant(np.array([1])), keepdims=0)
    g.add("LpNormalization", total, output="vectors", axis=1, p=2)

    ids = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"]) for name in ("ids", "mask")]
    vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", HIDDEN])
    graph = helper.make_graph(g.nodes, "teacher", ids, [vectors], g.constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)


class Teacher:
    """Turns texts into unit vectors [n, 384]; `precision` is "bf16" (fast) or "f32" (reference)."""

    def __init__(self, model_dir, cache_dir, precision="bf16", threads=2):
        model_dir, cache_dir = Path(model_dir), Path(cache_dir)
        path = cache_dir / "teacher.onnx"
        if not path.exists():
            cache_dir.mkdir(parents=True, exist_ok=True)
            build_onnx(load_file(model_dir / "model.safetensors"), path)
        self.tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(TOKENS_MAX)
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        self.model = ov.Core().compile_model(str(path), "CPU", settings)

    def embed(self, texts):
        """Vectors in the order of `texts`."""
        return self.embed_tokens([e.ids for e in self.tokenizer.encode_batch(list(texts))])

    def embed_entries(self, entries):
        """Vectors of vocabulary entries: a `##` piece by the teacher's own token where it has one, else as text."""
        first, last = self.tokenizer.token_to_id("[CLS]"), self.tokenizer.token_to_id("[SEP]")
        token_lists = []
        for entry in entries:
            piece = self.tokenizer.token_to_id(entry) if entry.startswith("##") else None
            bare = GREEK_NAMES.get(entry.removeprefix("##"), entry.removeprefix("##"))
            token_lists.append(self.tokenizer.encode(bare).ids if piece is None else [first, piece, last])
        return self.embed_tokens(token_lists)

    def embed_tokens(self, token_lists):
        """Vectors in the order of the lists; batches hold lists of like length, so little padding is computed."""
        order = np.argsort([len(tokens) for tokens in token_lists], kind="stable")
        vectors = np.empty((len(token_lists), HIDDEN), np.float32)
        start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and (end + 1 - start) * len(token_lists[order[end]]) <= TOKENS_PER_BATCH:
                end += 1
            batch = order[start:end]
            width = len(token_lists[batch[-1]])
            ids = np.zeros((len(batch), width), np.int64)
            mask = np.zeros((len(batch), width), np.int64)
            for row, text in enumerate(batch):
                tokens = token_lists[text]
                ids[row, : len(tokens)] = tokens
                mask[row, : len(tokens)] = 1
            vectors[batch] = self.model({"ids": ids, "mask": mask})["vectors"]
            start = end
        return vectors
