"""Preprocessing and metrics beside scikit-learn, on the same rows, run by run in turn.

    pip install numpy pandas scikit-learn
    cargo build --release -p tidemill-ml --example speed_steps
    python tests/peers/ml/steps.py --rows 1000000 --threads 2 1 --rounds 5

prints for every task the time of ours relative to scikit-learn's (least, median and greatest of the rounds; wall, and CPU
of all threads) and a number of both results. A round runs a task three times on either side, and the least time counts:
most take some hundredths of a second. There, each runs on 1,000 rows first.

Numbers are a matrix of ten columns on both sides, one of them with 5 % missing values; those are 2.0 for the normalizer,
the outliers and PCA, which scikit-learn does not run with missing ones. Texts are a column of pandas there, which
scikit-learn is fastest with, and slices of one text here. What is not the same:

- outliers: numpy's percentile and clip, as scikit-learn has no such step. Ours also keeps a sketch for later rows, as it
  does for the median.
- index: OrdinalEncoder numbers categories by name, ours by frequency, as Spark; the result is that of no numbers, Σ count².
- target: the folds are others, so results agree to some digits only.
- binary: ours also has the calibration error, which is not counted there.
- clusters: Davies-Bouldin, Calinski-Harabasz and the silhouette of 2,000 drawn rows (others on both sides, and so not in
  the result). Ours also assigns the rows to their clusters, and gives nine other metrics.

What only writes a matrix waits for the kernel to give pages. numpy asks for large ones, which in Rust takes unsafe code;
`NUMPY_MADVISE_HUGEPAGE=0` gives both sides pages of 4 KiB, and says how fast the work itself is.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time
import warnings

HERE = pathlib.Path(__file__).resolve().parent
TASKS = ["standard_fit", "standard_transform", "min_max_fit", "min_max_transform", "normalizer", "mean_fit",
         "mean_transform", "median_fit", "median_transform", "outliers_fit", "outliers_transform", "index_fit",
         "index_transform", "one_hot_fit", "one_hot_transform", "target_fit_transform", "pca_fit", "pca_transform",
         "binary", "calibration", "clusters"]
CLUSTERS = 11
# As in the example.
TIMES = 3


def work_of(task, raw, filled, texts, y, start):
    """What is timed, and the number that it is compared by."""
    import numpy as np
    from sklearn import calibration, cluster, decomposition, impute, metrics, preprocessing as p

    def fences(x):
        q1, q3 = np.percentile(x, [25, 75], axis=0)
        return q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)

    step = task.rsplit("_", 1)[0]
    total, known = (lambda out: out.sum()), (lambda out: np.nansum(out))
    encoders = {"index": (p.OrdinalEncoder, texts[["c2"]]),
                "one_hot": (lambda: p.OneHotEncoder(sparse_output=False), texts[["c1"]])}
    numeric = {"standard": (p.StandardScaler, raw), "min_max": (p.MinMaxScaler, raw),
               "mean": (impute.SimpleImputer, raw), "median": (lambda: impute.SimpleImputer(strategy="median"), raw),
               "pca": (lambda: decomposition.PCA(2), filled)} | encoders
    fitted = {"standard": lambda s: s.mean_.sum() + s.scale_.sum(),
              "min_max": lambda s: np.nansum(s.transform(raw)),
              "mean": lambda s: s.statistics_.sum(), "median": lambda s: s.statistics_.sum(),
              "pca": lambda s: s.explained_variance_.sum(),
              "index": lambda s: len(s.categories_[0]), "one_hot": lambda s: len(s.categories_[0])}
    transformed = {"standard": lambda out: np.nansum(out ** 2), "pca": lambda out: np.abs(out).sum(),
                   "index": lambda out: (np.bincount(out[:, 0].astype(int)).astype(float) ** 2).sum()}
    if step in numeric and task.endswith("_fit"):
        make, x = numeric[step]
        return lambda: make().fit(x), fitted[step]
    if step in numeric:
        make, x = numeric[step]
        model = make().fit(x)
        return lambda: model.transform(x), transformed.get(step, known)
    if task == "normalizer":
        return lambda: p.Normalizer().fit(filled).transform(filled), total
    if task == "outliers_fit":
        return lambda: fences(filled), lambda bounds: sum(b.sum() for b in bounds)
    if task == "outliers_transform":
        bounds = fences(filled)
        return lambda: np.clip(filled, *bounds), total
    if task == "target_fit_transform":
        return lambda: p.TargetEncoder(smooth=10.0, cv=5, target_type="binary").fit_transform(texts[["c2"]], y), total
    score = 1 / (1 + np.exp(-filled[:, 0]))
    if task == "binary":
        def binary():
            predicted = score > 0.5
            areas = [metrics.roc_auc_score(y, score), metrics.average_precision_score(y, score)]
            losses = [metrics.log_loss(y, score), metrics.brier_score_loss(y, score)]
            of_labels = (metrics.accuracy_score, metrics.precision_score, metrics.recall_score, metrics.f1_score)
            counts = metrics.confusion_matrix(y, predicted)
            return areas + losses + [metric(y, predicted) for metric in of_labels] + [counts[1, 1] / len(y)]
        return binary, sum
    if task == "calibration":
        return lambda: calibration.calibration_curve(y, score, n_bins=10), lambda both: sum(b.sum() for b in both)
    if task == "clusters":
        mean, deviation = filled.mean(axis=0), filled.std(axis=0)
        x = (filled - mean) / deviation
        init = (start - mean) / deviation
        labels = cluster.KMeans(len(init), init=init, n_init=1, max_iter=10, tol=0).fit(x).labels_
        def clusters():
            both = metrics.davies_bouldin_score(x, labels) + metrics.calinski_harabasz_score(x, labels)
            metrics.silhouette_score(x, labels, sample_size=min(2_000, len(x)), random_state=1)
            return both
        return clusters, float


def peer(folder, tasks):
    """Runs scikit-learn's tasks and prints a JSON line each."""
    import numpy as np
    import pandas as pd

    warnings.filterwarnings("ignore")
    raw = np.stack([np.fromfile(folder / f"numeric_{c}.f64") for c in range(10)], axis=1)
    filled = np.nan_to_num(raw, nan=2.0)
    codes = {f"c{c}": np.fromfile(folder / f"category_{c}.u32", dtype="<u4") for c in (1, 2)}
    texts = pd.DataFrame({name: [f"k{code}" for code in column] for name, column in codes.items()})
    y = np.fromfile(folder / "label.u8", dtype=np.uint8)
    start = np.fromfile(folder / "start.f64").reshape(-1, 10)
    for task in tasks:
        # What the libraries load and start on their first call is not timed.
        some = slice(0, 1_000)
        work_of(task, raw[some], filled[some], texts[some], y[some], start)[0]()
        work, number = work_of(task, raw, filled, texts, y, start)
        times = []
        for _ in range(TIMES):
            outcome = None
            cpu, wall = time.process_time(), time.perf_counter()
            outcome = work()
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
        seconds, cpu_seconds = map(min, zip(*times))
        print(json.dumps(dict(task=task, seconds=seconds, cpu_seconds=cpu_seconds, result=float(number(outcome)))), flush=True)


def compare(folder, rows, threads, args):
    import numpy as np
    sys.path.insert(0, str(HERE))
    import data
    import turns
    x, *_ = data.write(folder, rows)
    start = np.random.default_rng(3).choice(rows, CLUSTERS, replace=False)
    np.nan_to_num(x[start], nan=2.0).tofile(folder / "start.f64")
    rounds = []
    for _ in range(args.rounds):
        ours = turns.lines([args.binary, folder, *args.tasks], threads)
        rounds.append((ours, turns.lines([sys.executable, __file__, "--peer", folder, *args.tasks], threads)))
    for task in args.tasks:
        turns.report(rows, threads, task, [(ours[task], theirs[task]) for ours, theirs in rounds])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(pathlib.Path(sys.argv[2]), sys.argv[3:])
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--binary", default=str(HERE.parents[2] / "target/release/examples/speed_steps"))
    args = parser.parse_args()
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as folder:
            for threads in args.threads:
                compare(pathlib.Path(folder), rows, threads, args)
