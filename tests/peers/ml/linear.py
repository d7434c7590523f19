"""Linear models beside scikit-learn: fit seconds of both, alternately in one run, on the same rows.

    pip install numpy scikit-learn
    cargo build --release -p tidemill-ml --example speed_linear
    python tests/peers/ml/linear.py --rows 10000 100000 1000000 --threads 2 1 --repeats 5

Tasks: `dense` is LogisticRegression(lbfgs) and ours on the same matrix of 14 encoded, standardised columns at the same
penalty and default tolerances; `dense_exact` at tolerance 1e-8, where the coefficients are compared too; `logistic` is
raw columns to model (scikit-learn: median imputer, StandardScaler, TargetEncoder, then lbfgs; ours encodes inside);
`dense_l1` is saga with an L1 penalty (up to 100,000 rows: it takes minutes beyond); `dense_linfa` is linfa-logistic;
`sgd` is SGDClassifier(log_loss), one pass. A ratio is ours / scikit-learn's of the same repeat, so that noise of the
machine meets both; given are the median and the range. `refit` is our refit after 1 % more rows / our cold fit.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BINARY = HERE.parents[2] / "target/release/examples/speed_linear"


def encoded(x, codes, label):
    """14 standardised columns: numbers with the mean for missing values, and target-encoded categories."""
    import numpy as np
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import StandardScaler, TargetEncoder

    numbers = SimpleImputer().fit_transform(x)
    targets = TargetEncoder(target_type="binary", random_state=0).fit_transform(codes, label)
    return np.ascontiguousarray(StandardScaler().fit_transform(np.hstack([numbers, targets])))


def prepare(folder: pathlib.Path, rows: int):
    """Raw columns for both sides and the encoded matrix, in `folder`."""
    sys.path.insert(0, str(HERE))
    import data

    x, codes, label = data.write(folder, rows)
    encoded(x, codes, label).astype("<f8").tofile(folder / "dense.f64")


def peer(folder: pathlib.Path, task: str):
    """One fit of scikit-learn; prints a JSON line like the example's."""
    import time
    import warnings

    import numpy as np
    from sklearn.linear_model import LogisticRegression, SGDClassifier

    warnings.filterwarnings("ignore")
    shape = json.loads((folder / "shape.json").read_text())
    y = np.fromfile(folder / "label.u8", dtype=np.uint8)
    if task == "logistic":
        x = np.column_stack([np.fromfile(folder / f"numeric_{c}.f64") for c in range(10)])
        codes = np.column_stack([np.fromfile(folder / f"category_{c}.u32", dtype="<u4") for c in range(4)])
    else:
        x = np.fromfile(folder / "dense.f64").reshape(shape["rows"], -1)
    model = {
        "dense": LogisticRegression(C=1.0),
        "logistic": LogisticRegression(C=1.0),
        "dense_exact": LogisticRegression(C=1.0, tol=1e-8, max_iter=1000),
        "dense_l1": LogisticRegression(C=0.1, l1_ratio=1.0, solver="saga", tol=1e-6, max_iter=10_000),
        "dense_linfa": LogisticRegression(C=1.0),
        "sgd": SGDClassifier(loss="log_loss", max_iter=1, tol=None, random_state=0),
    }[task]
    wall, cpu = time.perf_counter(), time.process_time()
    if task == "logistic":
        x = encoded(x, codes, y)
    if task == "sgd":
        model.partial_fit(x[:, :10], y, classes=[0, 1])
    else:
        model.fit(x, y)
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    line = {"seconds": seconds, "cpu_seconds": cpu_seconds, "weights": model.coef_[0].tolist()}
    print(json.dumps(line | {"intercept": float(model.intercept_[0]), "iterations": int(np.max(model.n_iter_)) if task != "sgd" else 1}))


def run(command, threads: int):
    env = dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads),
               OPENBLAS_NUM_THREADS=str(threads))
    if threads == 1:
        command = ["taskset", "-c", "0", *command]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def spread(values):
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", default=["dense", "dense_exact", "logistic", "dense_l1", "dense_linfa", "sgd"])
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY)
    parser.add_argument("--peer", nargs=2, metavar=("FOLDER", "TASK"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(pathlib.Path(args.peer[0]), args.peer[1])
    with tempfile.TemporaryDirectory() as scratch:
        for rows in args.rows:
            folder = pathlib.Path(scratch) / str(rows)
            prepare(folder, rows)
            for threads in args.threads:
                for task in args.tasks:
                    if task == "dense_l1" and rows > 100_000:
                        continue
                    compare(args, folder, rows, threads, task)


def compare(args, folder, rows, threads, task):
    pairs = []
    for _ in range(args.repeats):
        theirs = run([sys.executable, __file__, "--peer", str(folder), task], threads)
        pairs.append((theirs, run([str(args.binary), str(folder), task], threads)))
    walls = [ours["seconds"] / theirs["seconds"] for theirs, ours in pairs]
    cpus = [ours["cpu_seconds"] / theirs["cpu_seconds"] for theirs, ours in pairs if "cpu_seconds" in ours]
    line = f"{task:12} {rows:8} rows {threads} threads: scikit-learn {min(t['seconds'] for t, _ in pairs):.4f} s, "
    line += f"ours {min(o['seconds'] for _, o in pairs):.4f} s, ratio {spread(walls)}"
    if cpus:
        line += f", of CPU time {spread(cpus)}"
    if "refit_seconds" in pairs[0][1]:
        line += f", refit {spread([o['refit_seconds'] / o['seconds'] for _, o in pairs])}"
    theirs, ours = pairs[-1]
    if task in ("dense_exact", "dense_l1"):
        apart = [abs(a - b) for a, b in zip(theirs["weights"] + [theirs["intercept"]], ours["weights"] + [ours["intercept"]])]
        line += f", coefficients apart by {max(apart):.1e} at most"
    print(line, flush=True)


if __name__ == "__main__":
    main()
