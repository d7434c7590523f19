"""Golden numbers of clusters from scikit-learn and River, read by the tests of tidemill-ml.

Bless again, from engine/ml:  pip install scikit-learn river river-extra && python tests/golden/make_clusters.py
Writes clusters.json, kmeans.json and online_kmeans.json beside this file; review the difference before committing it.
"""
import importlib
import json
import sys
import types
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import river.cluster
import sklearn
from sklearn.cluster import KMeans
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent


def river_extra():
    """The cluster metrics that River 0.14 handed to river-extra, with the helper as River 0.14 had it.

    The package as a whole wants River 0.14; these modules want only its minkowski_distance, which took no root there
    (river/utils/math.py of 0.14.0): they take it themselves.
    """
    import river
    from river import metrics

    squared = lambda a, b, p: sum(abs(a.get(k, 0) - b.get(k, 0)) ** p for k in {*a, *b})
    river.utils.math.minkowski_distance = squared
    where = next(iter(find_spec("river_extra").submodule_search_locations))
    for name, path in [("river_extra", where), ("river_extra.metrics", f"{where}/metrics"),
                       ("river_extra.metrics.cluster", f"{where}/metrics/cluster")]:
        package = types.ModuleType(name)
        package.__path__ = [path]
        sys.modules[name] = package
    load = lambda name: importlib.import_module(f"river_extra.metrics.cluster.{name}")
    ssw = load("ssw")
    return dict(ssw=ssw.SSW, cohesion=ssw.Cohesion, ssb=load("ssb").SSB, separation=load("separation").Separation,
                bic_river=load("bic").BIC, xie_beni=load("xiebeni").XieBeni, silhouette_river=metrics.Silhouette)


RIVER = river_extra()


def river_scores(x, clusters, centres):
    """River's metrics of points with fixed centres. None where River gives an infinity or fails."""
    rows = [dict(enumerate(map(float, row))) for row in x]
    centres = {i: dict(enumerate(map(float, c))) for i, c in enumerate(centres)}
    out = {}
    for name, make in RIVER.items():
        metric = make()
        try:
            for row, c in zip(rows, clusters):
                metric.update(row, int(c), centres)
            value = float(metric.get())
        except ValueError:
            value = None
        out[name] = value if value is not None and np.isfinite(value) else None
    if len(centres) < 2:
        # River gives 0 for the least distance of no two centres, and asks the only centre for a second.
        out["silhouette_river"] = out["xie_beni"] = None
    # Its text's formula: the variance is that of the sum, n times what its code takes.
    n, columns = np.shape(x)
    bic = out["bic_river"]
    if n <= len(centres) or out["ssw"] == 0:
        # River leaves out the terms with the logarithm of 0, and so all that depends on the rows.
        bic = out["bic_river"] = None
    out["bic"] = None if bic is None else bic - n * columns / 2 * float(np.log(n))
    if bic is not None and len(set(clusters)) == len(centres):
        assert abs(out["bic"] - bic_by_densities(np.array(x), clusters, centres)) < 1e-9
    return out


def bic_by_densities(x, clusters, centres):
    """The criterion from what it says (Pelleg and Moore 2000): the log-likelihood of the rows under spherical Gaussians of
    one variance, each row in its own cluster, less half the parameters times ln n. Where every cluster has rows."""
    n, columns = x.shape
    middle = np.array([[centres[int(c)][j] for j in range(columns)] for c in clusters])
    squares = ((x - middle) ** 2).sum(axis=1)
    variance = squares.sum() / ((n - len(centres)) * columns)
    share = np.bincount(clusters)[clusters] / n
    density = -columns / 2 * np.log(2 * np.pi * variance) - squares / (2 * variance)
    return float((np.log(share) + density).sum() - len(centres) * (columns + 1) / 2 * np.log(n))


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
            davies_bouldin=score(davies_bouldin_score), **river_scores(x, c, m)))


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
head = dict(made_by=f"make_clusters.py, scikit-learn {sklearn.__version__}, river {version('river')}, "
                    f"river-extra {version('river-extra')}")
(HERE / "clusters.json").write_text(json.dumps(dict(head, cases=cases), indent=1) + "\n")

x = np.round(np.concatenate([apart * [10, 0.1] + [500, -3], cloud[:, :2] * [5, 0.05] + [500, -3]]), 4)
scaled = StandardScaler().fit_transform(x)
start = scaled[[1, 20, 40, 60]]
model = KMeans(n_clusters=4, init=start, n_init=1, tol=0, max_iter=1000, algorithm="lloyd").fit(scaled)
golden = dict(head, columns=x.T.tolist(), start=start.ravel().tolist(), centres=model.cluster_centers_.ravel().tolist(),
              sizes=np.bincount(model.labels_).tolist(), inertia=float(model.inertia_))
(HERE / "kmeans.json").write_text(json.dumps(golden, indent=1) + "\n")

# River's KMeans draws its first centres when it first needs them; they are set here before the first row.
start = [[0.1, -0.2], [2.0, 1.0], [-1.0, 0.5], [0.1, -0.2], [9.0, 9.0]]
rows = np.round(random.normal(size=(200, 2)) * 1.5, 4).tolist()
model = river.cluster.KMeans(n_clusters=5, halflife=0.4, sigma=3, seed=0)
for i, centre in enumerate(start):
    model.centers[i].update(enumerate(centre))
assigned = [model.learn_predict_one(dict(enumerate(row))) for row in rows]
centres = [[model.centers[i][0], model.centers[i][1]] for i in range(5)]
golden = dict(head, halflife=0.4, start=start, rows=rows, assigned=assigned, centres=centres)
(HERE / "online_kmeans.json").write_text(json.dumps(golden) + "\n")
