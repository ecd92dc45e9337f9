"""One peer over one data set: builds an index and answers queries when asked, in a process of its own.

    worker.py PEER BASE.npy QUERIES.npy

Both files hold f32, [rows, dim], compared by squared Euclidean distance. Requests are JSON, one a line, on standard
input; each gets one line on standard output:

    {"do": "build", "threads": 1}
        -> {"wall_s": .., "cpu_s": .., "bytes": ..}         bytes: growth of the resident set
    {"do": "search", "k": 10, "parameter": 64, "threads": 1, "rounds": 3}
        -> {"wall_s": .., "cpu_s": .., "queries": 3000}     every round asks all queries
    {"do": "answers", "k": 10, "parameter": 64}
        -> {"ids": [[..], ..]}                              best first

A peer with a batch call gets all queries in one. For the others the time of the same loop around a call that does
nothing is subtracted.
"""

import gc
import json
import os
import shutil
import sys
import tempfile
import time

# Workers are timed by their CPU too: a thread that spins while it waits for work would count.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np


class Peer:
    """What a library has to offer. `parameter` is the one number by which it trades speed for recall."""

    def __init__(self, base):
        self.base = base

    def build(self, threads):
        raise NotImplementedError

    def search(self, queries, k, parameter, threads):
        """Ids [queries, k], best first."""
        raise NotImplementedError

    def overhead(self, queries, k, parameter):
        """Seconds of CPU that the calls for all queries cost without any search: 0 for one batch."""
        return 0.0


class Hnswlib(Peer):
    """HNSW over f32: M 16, ef_construction 100."""

    def build(self, threads):
        import hnswlib

        self.index = hnswlib.Index(space="l2", dim=self.base.shape[1])
        self.index.init_index(max_elements=len(self.base), M=16, ef_construction=100, random_seed=1)
        self.index.add_items(self.base, num_threads=threads)

    def search(self, queries, k, parameter, threads):
        self.index.set_ef(parameter)
        return self.index.knn_query(queries, k=k, num_threads=threads)[0]


class FaissHnsw(Peer):
    """HNSW over f32: M 16, efConstruction 200."""

    def index_of(self, faiss, dim):
        index = faiss.IndexHNSWFlat(dim, 16)
        index.hnsw.efConstruction = 200
        return index, index.hnsw

    def build(self, threads):
        import faiss

        self.faiss = faiss
        faiss.omp_set_num_threads(threads)
        self.index, self.graph = self.index_of(faiss, self.base.shape[1])
        if not self.index.is_trained:
            self.index.train(self.base)
        self.index.add(self.base)

    def search(self, queries, k, parameter, threads):
        self.faiss.omp_set_num_threads(threads)
        self.graph.efSearch = parameter
        return self.index.search(queries, k)[1]


class FaissHnswSq8(FaissHnsw):
    """HNSW over 8-bit codes, and the best 2k again by f32: M 16, efConstruction 200."""

    def index_of(self, faiss, dim):
        coded = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_8bit, 16)
        coded.hnsw.efConstruction = 200
        self.coded = coded
        index = faiss.IndexRefineFlat(coded)
        index.k_factor = 2
        return index, coded.hnsw


class FaissIvfPq(Peer):
    """IVF with 4-bit product codes read by SIMD shuffles, and the best 200 again by f32; the parameter is nprobe."""

    def build(self, threads):
        import faiss

        self.faiss = faiss
        faiss.omp_set_num_threads(threads)
        rows, dim = self.base.shape
        lists = 1 << max(4, int(np.log2(4 * np.sqrt(rows))) - 1)
        codes = dim // 2 if dim % 2 == 0 else dim
        self.index = faiss.index_factory(dim, f"IVF{lists},PQ{codes}x4fs,RFlat")
        self.index.train(self.base)
        self.index.add(self.base)
        self.index.k_factor = 20
        self.ivf = faiss.extract_index_ivf(self.index)

    def search(self, queries, k, parameter, threads):
        self.faiss.omp_set_num_threads(threads)
        self.ivf.nprobe = parameter
        return self.index.search(queries, k)[1]


class Usearch(Peer):
    """HNSW over f32: connectivity 16, expansion_add 128."""

    def build(self, threads):
        from usearch.index import Index

        self.index = Index(ndim=self.base.shape[1], metric="l2sq", dtype="f32", connectivity=16, expansion_add=128)
        self.index.add(np.arange(len(self.base), dtype=np.uint64), self.base, threads=threads)

    def search(self, queries, k, parameter, threads):
        self.index.expansion_search = parameter
        return self.index.search(queries, k, threads=threads).keys.astype(np.int64)


class Scann(Peer):
    """Partitions and anisotropic 4-bit product codes, then f32; the parameter is the number of partitions visited."""

    def build(self, threads):
        import scann

        rows = len(self.base)
        leaves = max(20, int(2 * np.sqrt(rows)))
        builder = scann.scann_ops_pybind.builder(self.base, 10, "squared_l2")
        builder = builder.set_n_training_threads(threads)
        builder = builder.tree(num_leaves=leaves, num_leaves_to_search=10, training_sample_size=min(rows, 250_000))
        self.index = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(100).build()

    def search(self, queries, k, parameter, threads):
        # More is looked at again by f32 as more is visited: at few, 100 is enough.
        again = max(100, min(1000, 2 * parameter))
        call = self.index.search_batched if threads == 1 else self.index.search_batched_parallel
        return call(queries, final_num_neighbors=k, pre_reorder_num_neighbors=again, leaves_to_search=parameter)[0]


class QdrantEdge(Peer):
    """Qdrant's engine: HNSW m 16, ef_construct 100 over 8-bit codes in memory, and the best again by f32."""

    def build(self, threads):
        import qdrant_edge as q

        self.q = q
        self.folder = tempfile.mkdtemp(prefix="peer-qdrant-")
        # Its threads are of the shard: one is made for each number that is asked for.
        config = q.EdgeConfig(
            vectors=q.EdgeVectorParams(
                size=self.base.shape[1],
                distance=q.Distance.Euclid,
                quantization_config=q.ScalarQuantizationConfig(q.ScalarType.Int8, quantile=0.99, always_ram=True),
                hnsw_config=q.HnswIndexConfig(
                    m=16, ef_construct=100, full_scan_threshold=10, max_indexing_threads=threads
                ),
            ),
            optimizers=q.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=100),
            max_search_threads=1,
        )
        self.shard = q.EdgeShard.create(self.folder, config)
        for start in range(0, len(self.base), 1000):
            rows = self.base[start : start + 1000].tolist()
            points = [q.Point(start + at, row) for at, row in enumerate(rows)]
            self.shard.update(q.UpdateOperation.upsert_points(points))
        while self.shard.optimize():
            pass

    def requests(self, queries, k, parameter):
        q = self.q
        params = q.SearchParams(
            hnsw_ef=parameter, quantization=q.QuantizationSearchParams(rescore=True, oversampling=2.0)
        )
        for query in queries:
            nearest = q.Query.Nearest(query.tolist())
            yield q.SearchRequest(query=nearest, limit=k, params=params)

    def search(self, queries, k, parameter, threads):
        if threads > 1:
            from concurrent.futures import ThreadPoolExecutor

            parts = np.array_split(queries, threads)
            with ThreadPoolExecutor(threads) as pool:
                found = pool.map(lambda part: self.search(part, k, parameter, 1), parts)
                return np.concatenate(list(found))
        search = self.shard.search
        return np.array(
            [[point.id for point in search(request)] for request in self.requests(queries, k, parameter)],
            dtype=np.int64,
        )

    def overhead(self, queries, k, parameter):
        def nothing(_request):
            return ids

        ids = list(range(k))
        started = time.process_time()
        np.array([list(nothing(request)) for request in self.requests(queries, k, parameter)], dtype=np.int64)
        return time.process_time() - started

    def close(self):
        self.shard.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class SymphonyQG(Peer):
    """SymphonyQG over rows as they are: degree 32, ef_construction 200, its partition builder."""

    def build(self, threads):
        from rabitqlib import SymqgIndex

        self.index = SymqgIndex(self.base.shape[1], 32, "l2", 0)
        self.index.build(self.base, 200, threads, "pipnn")

    def search(self, queries, k, parameter, threads):
        return self.index.search_batch(queries, k, parameter, threads)[0]


PEERS = {
    "hnswlib": Hnswlib,
    "faiss-hnsw": FaissHnsw,
    "faiss-hnsw-sq8": FaissHnswSq8,
    "faiss-ivfpq": FaissIvfPq,
    "usearch": Usearch,
    "scann": Scann,
    "qdrant-edge": QdrantEdge,
    "symphonyqg": SymphonyQG,
}


def resident_bytes():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main():
    peer_class = PEERS[sys.argv[1]]
    base, queries = (np.ascontiguousarray(np.load(path), dtype=np.float32) for path in sys.argv[2:4])
    # The libraries write to standard output as they like: the answers go to what it was at the start.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    peer = None

    def build(request):
        nonlocal peer
        if peer is not None and hasattr(peer, "close"):
            peer.close()
        peer = None
        gc.collect()
        before = resident_bytes()
        peer = peer_class(base)
        wall, cpu = time.perf_counter(), time.process_time()
        peer.build(request["threads"])
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        gc.collect()
        return {"wall_s": wall, "cpu_s": cpu, "bytes": max(0, resident_bytes() - before)}

    def search(request):
        k, parameter, threads, rounds = (request[key] for key in ("k", "parameter", "threads", "rounds"))
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(rounds):
            peer.search(queries, k, parameter, threads)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        spent = sum(peer.overhead(queries, k, parameter) for _ in range(rounds))
        # What the loop costs in the interpreter is done by one thread at a time.
        return {"wall_s": max(wall - spent, 1e-9), "cpu_s": max(cpu - spent, 1e-9), "queries": rounds * len(queries)}

    def answer(request):
        return {"ids": peer.search(queries, request["k"], request["parameter"], 1).tolist()}

    actions = {"build": build, "search": search, "answers": answer}
    try:
        for line in sys.stdin:
            request = json.loads(line)
            print(json.dumps(actions[request["do"]](request)), file=answers, flush=True)
    finally:
        if peer is not None and hasattr(peer, "close"):
            peer.close()


if __name__ == "__main__":
    main()
