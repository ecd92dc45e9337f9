"""The official Python client (qdrant-client 1.20), unmodified, against a running server.

    VECINO_URL=http://127.0.0.1:6333 python -m pytest server/tests/clients
    VECINO_URL=http://127.0.0.1:6333 python server/tests/clients/test_qdrant_client.py

VECINO_API_KEY is sent if it is set. Every test uses a collection of its own and removes it.
"""

import base64
import os
import struct
import sys
import uuid
import warnings
from contextlib import contextmanager

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

URL = os.environ.get("VECINO_URL", "http://127.0.0.1:6333")
KEY = os.environ.get("VECINO_API_KEY")
RED, GREEN, BLUE = (220, 30, 30), (40, 170, 60), (30, 60, 210)


def connect(**options):
    """A client that takes every warning for an error, such as one about the server's version."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection.")
        return QdrantClient(url=URL, api_key=KEY, timeout=30, **options)


@contextmanager
def collection(client, **settings):
    name = f"test-{uuid.uuid4()}"
    assert not client.collection_exists(name)
    assert client.create_collection(name, **settings)
    try:
        yield name
    finally:
        assert client.delete_collection(name)


def dense(size, distance=models.Distance.COSINE):
    return models.VectorParams(size=size, distance=distance)


def point(id, vector, **payload):
    return models.PointStruct(id=id, vector=vector, payload=payload)


def ids(answer):
    return [found.id for found in getattr(answer, "points", answer)]


def bitmap(color, side=32):
    """A square of one colour with a darker frame, as a BMP file."""
    rows = bytearray()
    for y in range(side):
        for x in range(side):
            inside = 2 <= x < side - 2 and 2 <= y < side - 2
            rows += bytes(c if inside else c // 3 for c in reversed(color))
    head = struct.pack("<2sIHHI", b"BM", 54 + len(rows), 0, 0, 54)
    return head + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, len(rows), 2835, 2835, 0, 0) + bytes(rows)


def image(color, model="vecino/image"):
    return models.Image(image=base64.b64encode(bitmap(color)).decode(), model=model)


def test_collections():
    client = connect()
    with collection(client, vectors_config=dense(4)) as name:
        assert client.collection_exists(name)
        assert name in [one.name for one in client.get_collections().collections]
        info = client.get_collection(name)
        assert info.status == models.CollectionStatus.GREEN
        assert info.points_count == 0
        assert info.config.params.vectors == dense(4)
        assert client.update_collection(name, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0))
        assert client.get_collection(name).config.optimizer_config.indexing_threshold == 0
        try:
            client.create_collection(name, vectors_config=dense(4))
            raise AssertionError("a second collection of one name")
        except UnexpectedResponse as error:
            assert error.status_code == 409 and b"already exists" in error.content
    assert not client.collection_exists(name)
    try:
        client.get_collection(name)
        raise AssertionError("a collection that is gone")
    except UnexpectedResponse as error:
        assert error.status_code == 404 and b"doesn't exist" in error.content


def test_upsert_retrieve_delete():
    client = connect()
    with collection(client, vectors_config=dense(2, models.Distance.EUCLID)) as name:
        key = str(uuid.uuid4())
        points = [point(1, [1.0, 2.0], city="Berlin"), point(key, [3.0, 4.0], city="London", tags=["a", "b"])]
        done = client.upsert(name, points)
        assert done.status == models.UpdateStatus.COMPLETED
        found = client.retrieve(name, [key, 1, 99], with_vectors=True)
        assert [(one.id, one.vector, one.payload["city"]) for one in found] == [
            (key, [3.0, 4.0], "London"),
            (1, [1.0, 2.0], "Berlin"),
        ]
        batch = models.Batch(ids=[2, 3], vectors=[[0.0, 1.0], [1.0, 0.0]], payloads=[{"n": 2}, {"n": 3}])
        client.upsert(name, batch)
        assert client.count(name).count == 4
        client.delete(name, [1, key])
        assert client.count(name, exact=True).count == 2
        by_field = models.Filter(must=[models.FieldCondition(key="n", match=models.MatchValue(value=3))])
        client.delete(name, by_field)
        assert ids(client.scroll(name)[0]) == [2]


def test_query_filter_scroll_count():
    client = connect()
    with collection(client, vectors_config=dense(2, models.Distance.EUCLID)) as name:
        client.upload_points(name, [point(n, [float(n), 0.0], n=n, odd=n % 2 == 1, word=f"word {n}") for n in range(50)], batch_size=16)
        assert client.count(name).count == 50
        found = client.query_points(name, [20.2, 0.0], limit=3, with_payload=True, with_vectors=True)
        assert ids(found) == [20, 21, 19]
        assert abs(found.points[0].score - 0.2) < 1e-5
        assert found.points[0].payload["n"] == 20 and found.points[0].vector == [20.0, 0.0]
        odd = models.Filter(
            must=[models.FieldCondition(key="odd", match=models.MatchValue(value=True))],
            must_not=[models.FieldCondition(key="n", range=models.Range(gte=20, lt=25))],
        )
        assert ids(client.query_points(name, [20.2, 0.0], query_filter=odd, limit=2)) == [19, 17]
        assert client.count(name, count_filter=odd).count == 23
        either = models.Filter(should=[models.HasIdCondition(has_id=[4]), models.FieldCondition(key="word", match=models.MatchText(text="7"))])
        assert ids(client.scroll(name, scroll_filter=either)[0]) == [4, 7]
        seen, offset = [], None
        while True:
            page, offset = client.scroll(name, limit=15, offset=offset, with_payload=False)
            seen += ids(page)
            if offset is None:
                break
        assert seen == list(range(50))
        client.create_payload_index(name, "n", models.PayloadSchemaType.INTEGER)
        assert client.get_collection(name).payload_schema["n"].data_type == models.PayloadSchemaType.INTEGER
        page, _ = client.scroll(name, limit=2, order_by=models.OrderBy(key="n", direction=models.Direction.DESC))
        assert ids(page) == [49, 48]
        client.delete_payload_index(name, "n")
        assert ids(client.query_points(name, 10, limit=2)) == [9, 11]
        requests = [models.QueryRequest(query=[5.0, 0.0], limit=1), models.QueryRequest(query=[6.0, 0.0], limit=1)]
        assert [ids(answer) for answer in client.query_batch_points(name, requests)] == [[5], [6]]
        examples = models.RecommendQuery(recommend=models.RecommendInput(positive=[30], negative=[10]))
        assert ids(client.query_points(name, examples, limit=1)) == [49]


def test_filters_by_places():
    client = connect()
    with collection(client, vectors_config=dense(1, models.Distance.EUCLID)) as name:
        berlin, paris, suva = {"lon": 13.405, "lat": 52.52}, {"lon": 2.3522, "lat": 48.8566}, {"lon": 178.45, "lat": -18.14}
        client.upsert(name, [point(n, [float(n)], home=home) for n, home in enumerate([berlin, [paris, berlin], suva, "Berlin"])])

        def at(**condition):
            return ids(client.scroll(name, models.Filter(must=[models.FieldCondition(key="home", **condition)]))[0])

        def ring(*corners):
            return models.GeoLineString(points=[models.GeoPoint(lon=lon, lat=lat) for lon, lat in [*corners, corners[0]]])

        assert at(geo_radius=models.GeoRadius(center=models.GeoPoint(**paris), radius=1000.0)) == [1]
        assert at(geo_radius=models.GeoRadius(center=models.GeoPoint(**paris), radius=900_000.0)) == [0, 1]
        north_west, south_east = models.GeoPoint(lon=170.0, lat=-10.0), models.GeoPoint(lon=-170.0, lat=-20.0)
        assert at(geo_bounding_box=models.GeoBoundingBox(top_left=north_west, bottom_right=south_east)) == [2]
        around, hole = ring((0, 45), (20, 45), (20, 55), (0, 55)), ring((13, 52), (14, 52), (14, 53), (13, 53))
        assert at(geo_polygon=models.GeoPolygon(exterior=around)) == [0, 1]
        assert at(geo_polygon=models.GeoPolygon(exterior=around, interiors=[hole])) == [1]
        try:
            at(geo_radius=models.GeoRadius(center=models.GeoPoint(lon=0.0, lat=91.0), radius=1.0))
            raise AssertionError("a centre beyond the pole")
        except UnexpectedResponse as error:
            assert error.status_code == 400 and b"lat 91" in error.content


def test_hybrid_prefetch():
    client = connect()
    settings = {
        "vectors_config": {"dense": dense(2, models.Distance.DOT)},
        "sparse_vectors_config": {"sparse": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    }
    with collection(client, **settings) as name:
        sparse = lambda *indices: models.SparseVector(indices=list(indices), values=[1.0] * len(indices))
        client.upsert(name, [point(n, {"dense": [float(n), 1.0], "sparse": sparse(n, 100)}) for n in range(1, 11)])
        lists = [
            models.Prefetch(query=sparse(3), using="sparse"),
            models.Prefetch(query=[1.0, 0.0], using="dense", limit=3),
        ]
        for fusion in [models.Fusion.RRF, models.Fusion.DBSF]:
            found = ids(client.query_points(name, prefetch=lists, query=models.FusionQuery(fusion=fusion), limit=5))
            assert sorted(found) == [3, 8, 9, 10], found
        weighted = models.RrfQuery(rrf=models.Rrf(k=2, weights=[5.0, 1.0]))
        assert ids(client.query_points(name, prefetch=lists, query=weighted, limit=1)) == [3]
        again = client.query_points(name, prefetch=lists[1], query=sparse(9), using="sparse")
        assert ids(again) == [9]


def test_documents_and_images():
    client = connect(cloud_inference=True)
    text = lambda words, model: models.Document(text=words, model=model)
    settings = {
        "vectors_config": {"words": dense(256), "looks": dense(256)},
        "sparse_vectors_config": {"terms": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    }
    with collection(client, **settings) as name:
        things = [(1, "a ripe red tomato", RED), (2, "the green lawn of a garden", GREEN), (3, "the deep blue sea", BLUE)]
        client.upsert(
            name,
            [
                point(id, {"words": text(words, "vecino/text"), "terms": text(words, "qdrant/bm25"), "looks": image(color)}, words=words)
                for id, words, color in things
            ],
        )
        assert client.count(name).count == 3
        assert ids(client.query_points(name, text("garden lawn", "vecino/text"), using="words", limit=1)) == [2]
        assert ids(client.query_points(name, text("seas", "qdrant/bm25"), using="terms", limit=1)) == [3]
        assert ids(client.query_points(name, image(RED), using="looks", limit=1)) == [1]
        lists = [
            models.Prefetch(query=text("tomato", "vecino/text"), using="words", limit=10),
            models.Prefetch(query=text("tomato", "qdrant/bm25"), using="terms", limit=10),
        ]
        found = client.query_points(name, prefetch=lists, query=models.FusionQuery(fusion=models.Fusion.RRF), with_payload=True)
        assert found.points[0].id == 1 and found.points[0].payload["words"] == "a ripe red tomato"
        try:
            client.query_points(name, text("a", "vecino/bm25"), using="words")
            raise AssertionError("a query by another model")
        except UnexpectedResponse as error:
            assert error.status_code == 422
            assert b"vecino/text" in error.content and b"vecino/bm25" in error.content


def test_snapshots():
    client = connect()
    with collection(client, vectors_config=dense(2)) as name:
        client.upsert(name, [point(id, [id + 1, 1], serial=id) for id in range(20)], wait=True)
        made = client.create_snapshot(name)
        assert made.size > 0 and made.creation_time
        assert [known.name for known in client.list_snapshots(name)] == [made.name]
        client.delete(name, models.PointIdsList(points=list(range(10))), wait=True)
        assert client.recover_snapshot(name, location=made.name)
        assert client.count(name).count == 20
        assert client.delete_snapshot(name, made.name)
        assert client.list_snapshots(name) == []
        full = client.create_full_snapshot()
        assert full.name in [known.name for known in client.list_full_snapshots()]
        assert client.delete_full_snapshot(full.name)


def main():
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    failed = 0
    for name, test in tests:
        try:
            test()
            print(f"ok    {name}")
        except Exception as error:  # Told and counted; the others run on.
            failed += 1
            print(f"FAIL  {name}: {type(error).__name__}: {error}")
    print(f"{len(tests) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
