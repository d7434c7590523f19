"""Clusters and metrics beside scikit-learn, River and linfa, on the same rows, run by run in turn.

    pip install numpy scikit-learn river
    cargo build --release -p tidemill-ml --example speed_clusters
    python tests/peers/ml/clusters.py --rows 10000 100000 1000000 --threads 2 1 --rounds 3

prints for every task the time of ours relative to the peer's (least, median and greatest of the rounds; wall, and CPU of
all threads, which other work on the machine disturbs less) and both results. Ours reads a table and standardises it; the
peers get the standardised matrix, and that time is theirs. Missing values are 2.0 on both sides; the start centres are
the same rows; scikit-learn's tol of 1e-4 is the square of our tolerance of 1e-2. The greatest spread is at several threads
on a busy machine, where OpenMP's threads spin as they wait for each other: one thread, and CPU time, say more there.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
# Ours, and the peer's task that it is set against (our own cold fit, for refit).
TASKS = {"same_start": "same_start", "plus_plus": "plus_plus", "refit": None, "linfa_same_start": "same_start",
         "minibatch": "minibatch", "linfa_minibatch": "minibatch", "online": "online", "silhouette_exact": "silhouette_exact", "auc": "auc"}
BATCH_ROWS = 10_000


def peer(folder, clusters, tasks):
    """Runs the peers' tasks and prints a JSON line each."""
    import numpy as np
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.metrics import roc_auc_score, silhouette_score

    raw = np.stack([np.fromfile(folder / f"numeric_{c}.f64") for c in range(10)], axis=1)
    raw[np.isnan(raw)] = 2.0
    mean, deviation = raw.mean(axis=0), raw.std(axis=0)
    x = (raw - mean) / deviation
    start = (np.fromfile(folder / "start.f64").reshape(-1, 10) - mean) / deviation
    some = x[:BATCH_ROWS]
    fit = lambda init: KMeans(clusters, init=init, n_init=1, max_iter=300, tol=1e-4, random_state=1).fit(x)
    # What the libraries load and start on their first call is not timed.
    KMeans(2, n_init=1).fit(x[:1_000])
    MiniBatchKMeans(2, n_init=1).partial_fit(x[:1_000])
    for task in tasks:
        labels = fit(start).labels_[:BATCH_ROWS] if task == "silhouette_exact" else None
        y, p = np.fromfile(folder / "label.u8", dtype=np.uint8), 1 / (1 + np.exp(-raw[:, 0]))
        rows = len(x)
        if task == "online":
            # A tenth of a batch says how fast it is; River takes 50 s for a million rows of ten columns.
            rows = min(len(x), 2_000)
            stream = [dict(enumerate(map(float, row))) for row in x[:rows]]
        cpu, wall = time.process_time(), time.perf_counter()
        if task == "same_start":
            result = fit(start).inertia_
        elif task == "plus_plus":
            result = fit("k-means++").inertia_
        elif task == "minibatch":
            model = MiniBatchKMeans(clusters, n_init=1, random_state=1)
            for at in range(0, len(x), BATCH_ROWS):
                model.partial_fit(x[at:at + BATCH_ROWS])
            result = -model.score(some)
        elif task == "online":
            from river import cluster
            model = cluster.KMeans(n_clusters=clusters, halflife=0.4, sigma=3, seed=0)
            for row in stream:
                model.learn_one(row)
            centres = np.array([[model.centers[c][j] for j in range(10)] for c in range(clusters)])
            result = ((some[:, None] - centres) ** 2).sum(axis=2).min(axis=1).sum()
        elif task == "silhouette_exact":
            result = silhouette_score(some, labels)
        elif task == "auc":
            result = roc_auc_score(y, p)
        scale = len(x) / rows
        print(json.dumps(dict(task=task, seconds=(time.perf_counter() - wall) * scale,
                              cpu_seconds=(time.process_time() - cpu) * scale, result=float(result))), flush=True)


def compare(folder, rows, threads, args):
    import numpy as np
    sys.path.insert(0, str(HERE))
    import data
    import turns
    x, *_ = data.write(folder, rows)
    start = np.random.default_rng(3).choice(rows, args.clusters, replace=False)
    np.nan_to_num(x[start], nan=2.0).tofile(folder / "start.f64")
    tasks = [t for t in (args.tasks or TASKS)]
    peers = sorted({TASKS[t] for t in tasks if TASKS[t]})
    rounds = []
    for _ in range(args.rounds):
        ours = turns.lines([args.binary, folder, str(args.clusters), *tasks], threads)
        rounds.append((ours, turns.lines([sys.executable, __file__, "--peer", folder, str(args.clusters), *peers], threads)))
    for task in tasks:
        against = lambda ours, theirs: theirs[TASKS[task]] if TASKS[task] else ours["plus_plus"]
        turns.report(rows, threads, task, [(ours[task], against(ours, theirs)) for ours, theirs in rounds])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(pathlib.Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clusters", type=int, default=11)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS))
    parser.add_argument("--binary", default=str(ROOT / "target/release/examples/speed_clusters"))
    args = parser.parse_args()
    if "refit" in (args.tasks or []) and "plus_plus" not in args.tasks:
        parser.error("refit is set against plus_plus: name both")
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as folder:
            for threads in args.threads:
                compare(pathlib.Path(folder), rows, threads, args)
