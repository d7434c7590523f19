"""Golden numbers of clusters from scikit-learn, read by the tests of tidemill-ml.

Bless again, from engine/ml:  pip install scikit-learn && python tests/golden/make_clusters.py
Writes clusters.json and kmeans.json beside this file; review the difference before committing it.
"""
import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.cluster import KMeans
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent


def metrics(name, points, clusters, centres):
    x, c, m = np.array(points, dtype=float), np.array(clusters), np.array(centres, dtype=float)
    k = len(set(clusters))
    defined = 2 <= k < len(x)
    score = lambda f, *more: float(f(x, c, *more)) if defined else None
    # scikit-learn gives 1 where every row is at its cluster's mean; the ratio has no value there.
    spread = any(np.ptp(x[c == i], axis=0).any() for i in set(clusters))
    return dict(
        name=name, points=x.tolist(), clusters=[int(i) for i in clusters], centres=m.tolist(),
        expected=dict(
            rows=len(x), left_out=0, clusters=k, inertia=float(((x - m[c]) ** 2).sum()),
            silhouette=score(silhouette_score),
            calinski_harabasz=score(calinski_harabasz_score) if spread else None,
            davies_bouldin=score(davies_bouldin_score)))


def fitted(name, x, k):
    model = KMeans(n_clusters=k, n_init=3, random_state=0).fit(x)
    case = metrics(name, x, model.labels_.tolist(), model.cluster_centers_)
    assert abs(case["expected"]["inertia"] - model.inertia_) < 1e-9
    return case


random = np.random.default_rng(11)
apart = np.round(random.normal(size=(45, 2)) * 0.3 + np.repeat([[-2, 0], [2, 1], [0, -2]], 15, axis=0), 4)
cloud = np.round(random.normal(size=(40, 3)), 4)
line = [[0.0], [0.0], [1.0], [5.0], [5.5], [9.0]]
cases = [
    fitted("three apart", apart, 3),
    fitted("a cloud in four", cloud, 4),
    fitted("a cloud in two", cloud, 2),
    metrics("badly assigned, centres elsewhere", apart, [i % 3 for i in range(45)], [[0, 0], [1, 1], [-1, 2]]),
    metrics("a cluster of one row, and one without rows", line, [0, 0, 0, 3, 3, 1], [[0.3], [9], [50], [5.2]]),
    metrics("all rows of a cluster at one place", [[0], [0], [4], [4], [4]], [0, 0, 1, 1, 1], [[0], [4]]),
    metrics("one cluster", line, [0] * 6, [[3.0]]),
    metrics("a cluster each", line[1:5], [0, 1, 2, 3], line[1:5]),
    metrics("one row", [[1.0, 2.0]], [0], [[0.0, 0.0]]),
]
head = dict(made_by=f"make_clusters.py, scikit-learn {sklearn.__version__}")
(HERE / "clusters.json").write_text(json.dumps(dict(head, cases=cases), indent=1) + "\n")

x = np.round(np.concatenate([apart * [10, 0.1] + [500, -3], cloud[:, :2] * [5, 0.05] + [500, -3]]), 4)
scaled = StandardScaler().fit_transform(x)
start = scaled[[1, 20, 40, 60]]
model = KMeans(n_clusters=4, init=start, n_init=1, tol=0, max_iter=1000, algorithm="lloyd").fit(scaled)
golden = dict(head, columns=x.T.tolist(), start=start.ravel().tolist(), centres=model.cluster_centers_.ravel().tolist(),
              sizes=np.bincount(model.labels_).tolist(), inertia=float(model.inertia_))
(HERE / "kmeans.json").write_text(json.dumps(golden, indent=1) + "\n")
