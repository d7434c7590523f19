"""What the default settings are worth on real rows that nobody tuned on, beside scikit-learn and LightGBM on the same rows.

    cargo build --release -p tidemill-ml --example learn_splits
    pip install scikit-learn==1.9.1 lightgbm==4.7.0 pandas
    python tests/peers/ml/splits.py --data DIR --peers peers.jsonl          # DIR: what TIDEMILL_DATA is set to
    python tests/peers/ml/splits.py --data DIR --peers peers.jsonl --settings '{"tree": {"min_samples_leaf": 20}}'

Rows: `crimes_combined.csv.gz` with the features of the chicago-arrests job, and `crimes-2022-slim.csv.gz` with what it has of
them. Cases: 2,000, 13,000 and 73,000 rows to learn from (or as many as there are), at the share of positives as it is
(22 %, 12 %) and at 1 %, positives being left out; each on --splits splits, of which each holds out 30 % of all rows. A peer is
as many trees of the same depth (or leaves), all else its default, but that boosting does not stop early. It gets categories
as `ordinal` codes in the order of their names (up to 13,000 rows), as numbers of scikit-learn's cross-fitted TargetEncoder
(`target`), or as `native` categories (of HistGradientBoosting the 254 most frequent). What peers scored is kept in --peers and
not asked again: an hour for all of it on two cores.

Printed are, by model and peer, the mean of the paired differences ours - theirs over all cases and splits (log loss: theirs -
ours), its standard error, and the case that is the most of its own standard errors below 0; --cases prints each.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import warnings

import lightgbm
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.preprocessing import OrdinalEncoder, TargetEncoder
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

SIZES = (2_000, 13_000, 73_000)
SHARES = (None, 0.01)
OURS = {
    "tree": ("decision_tree", {}),
    "tree_10": ("decision_tree", {"max_depth": 10}),
    "forest": ("random_forest", {}),
    "forest_100x10": ("random_forest", {"trees": 100, "max_depth": 10}),
    "boosting": ("gradient_boosting", {}),
}


def crimes_combined(folder):
    raw = pd.read_csv(folder / "crimes_combined.csv.gz", dtype=str, keep_default_na=False)
    number = lambda name: pd.to_numeric(raw[name], errors="coerce")
    when = pd.to_datetime(raw["Date"], format="%m/%d/%Y %I:%M:%S %p")
    timed = raw["Date Precision"] != "day"
    rows = pd.DataFrame({"label": (raw["Arrest"] == "true").astype(int), "domestic": (raw["Domestic"] == "true").astype(int)})
    for name in ("Beat", "District", "Community Area", "X Coordinate", "Y Coordinate"):
        rows[name.lower().replace(" ", "_")] = number(name)
    rows["month"], rows["day"] = when.dt.month, when.dt.day
    rows["hour"], rows["minute"] = when.dt.hour.where(timed), when.dt.minute.where(timed)
    for name in ("IUCR", "Location Description", "FBI Code", "Block"):
        rows["text_" + name.lower().replace(" ", "_")] = raw[name].str.strip().replace("", None)
    return rows


def crimes_2022(folder):
    raw = pd.read_csv(folder / "crimes-2022-slim.csv.gz", dtype=str, keep_default_na=False)
    when = pd.to_datetime(raw["Date"])
    rows = pd.DataFrame({"label": (raw["Arrest"] == "true").astype(int), "domestic": (raw["Domestic"] == "true").astype(int)})
    rows["community_area"] = pd.to_numeric(raw["Community Area"], errors="coerce")
    rows["month"], rows["day"], rows["hour"], rows["minute"] = when.dt.month, when.dt.day, when.dt.hour, when.dt.minute
    for name in ("Primary Type", "Description", "Location Description", "Block"):
        rows["text_" + name.lower().replace(" ", "_")] = raw[name].str.strip().replace("", None)
    return rows


SETS = {"combined": crimes_combined, "2022": crimes_2022}


def draw(label, size, share, split):
    """Row numbers to learn from and held out."""
    rng = np.random.default_rng(1_000 + split)
    order = rng.permutation(len(label))
    if share is not None:
        positive = label[order] == 1
        most = round(share / (1 - share) * (~positive).sum())
        order = order[~positive | (np.cumsum(positive) <= most)]
        order = rng.permutation(order)
    cut = round(0.3 * len(order))
    return order[cut:][:size], order[:cut]


def encoded(rows, training, held_out, how, split):
    """Columns of both parts, categories last."""
    texts = [name for name in rows.columns if name.startswith("text_")]
    numbers = [name for name in rows.columns if name not in texts and name != "label"]
    parts = [rows.iloc[training], rows.iloc[held_out]]
    if how == "target":
        coder = TargetEncoder(random_state=split, target_type="binary")
        cells = [coder.fit_transform(parts[0][texts], parts[0]["label"]), coder.transform(parts[1][texts])]
    elif how == "frequent":
        cells = [np.empty((len(part), len(texts))) for part in parts]
        for at, name in enumerate(texts):
            most = {value: code for code, value in enumerate(parts[0][name].value_counts().index[:254])}
            for cell, part in zip(cells, parts):
                cell[:, at] = [most.get(value, 254) if isinstance(value, str) else np.nan for value in part[name]]
    else:
        coder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan if how == "native" else -1)
        cells = [coder.fit_transform(parts[0][texts]), coder.transform(parts[1][texts])]
    return [np.hstack([part[numbers].to_numpy(float), cell.astype(float)]) for part, cell in zip(parts, cells)]


def peers(model, size):
    """Name of each peer of a model, and its way of categories."""
    yield "scikit-learn", "target"
    if size < 73_000:
        yield "scikit-learn", "ordinal"
    if model == "boosting":
        yield "scikit-learn", "native"
        yield "LightGBM", "native"


def estimator_of(model, name, how, split, threads, categories):
    if model in ("tree", "tree_10"):
        return DecisionTreeClassifier(max_depth=10 if model == "tree_10" else 5, random_state=split)
    if model in ("forest", "forest_100x10"):
        trees, depth = (100, 10) if model == "forest_100x10" else (20, 5)
        return RandomForestClassifier(trees, max_depth=depth, n_jobs=threads, random_state=split)
    if name == "LightGBM":
        return lightgbm.LGBMClassifier(random_state=split, n_jobs=threads, verbose=-1)
    native = {"categorical_features": categories} if how == "native" else {}
    return HistGradientBoostingClassifier(early_stopping=False, random_state=split, **native)


def scores_of(label, said):
    return {"accuracy": accuracy_score(label, said >= 0.5), "auc": roc_auc_score(label, said), "log_loss": log_loss(label, said)}


def ask_peers(rows, training, held_out, split, threads, asked):
    """What these peers score, one after the other."""
    label = rows["label"].to_numpy()
    width = rows.shape[1] - 1
    numeric = sum(not name.startswith("text_") for name in rows.columns) - 1
    categories = list(range(numeric, width))
    coded = {}
    for model, name, how in asked:
        way = "frequent" if (name, how) == ("scikit-learn", "native") else how
        if way not in coded:
            coded[way] = encoded(rows, training, held_out, way, split)
        first, rest = coded[way]
        extra = {"categorical_feature": categories} if name == "LightGBM" else {}
        estimator = estimator_of(model, name, how, split, threads, categories)
        with threadpool_limits(threads), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator.fit(first, label[training], **extra)
            said = estimator.predict_proba(rest)[:, 1]
        yield model, f"{name} {how}", scores_of(label[held_out], said)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--binary", default="target/release/examples/learn_splits")
    parser.add_argument("--peers", type=pathlib.Path, required=True, help="JSON lines of what peers scored, added to")
    parser.add_argument("--settings", type=json.loads, default={}, help="by model, settings of ours other than the defaults")
    parser.add_argument("--models", default=",".join(OURS))
    parser.add_argument("--splits", type=int, default=8)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only-peers", action="store_true", help="ask the peers what is not known yet, and no more")
    parser.add_argument("--only-known", action="store_true", help="only cases that the peers were asked before")
    parser.add_argument("--cases", action="store_true", help="print each case")
    args = parser.parse_args()
    models = args.models.split(",")
    known = {}
    if args.peers.exists():
        for line in map(json.loads, args.peers.read_text().splitlines()):
            known.setdefault(tuple(line["case"]), {}).setdefault(line["model"], {})[line["peer"]] = line["scores"]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        loaded = {name: read(args.data / "chicago_crimes") for name, read in SETS.items()}
        processes = {}
        for size in (int(size) for size in args.sizes.split(",")):
            for name, rows in loaded.items():
                for share in SHARES:
                    for split in range(args.splits):
                        case = (name, size, share, split)
                        training, held_out = draw(rows["label"].to_numpy(), size, share, split)
                        theirs = known.setdefault(case, {})
                        of_models = [(model, *peer) for model in models for peer in peers(model, size)]
                        missing = [of for of in of_models if " ".join(of[1:]) not in theirs.get(of[0], {})]
                        if missing and args.only_known:
                            continue
                        for model, peer, scores in ask_peers(rows, training, held_out, split, args.threads, missing):
                            theirs.setdefault(model, {})[peer] = scores
                            with args.peers.open("a") as out:
                                out.write(json.dumps({"case": case, "model": model, "peer": peer, "scores": scores}) + "\n")
                        if args.only_peers:
                            continue
                        if name not in processes:
                            csv = pathlib.Path(folder) / f"{name}.csv"
                            rows.to_csv(csv, index=False)
                            pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
                            processes[name] = subprocess.Popen([args.binary, csv, str(args.threads)], **pipe)
                        for model in models:
                            algorithm, settings = OURS[model]
                            settings = {**settings, **args.settings.get(model, {})}
                            task = {"algorithm": algorithm, "settings": settings, "seed": split}
                            task |= {"training": sorted(training.tolist()), "held_out": sorted(held_out.tolist())}
                            process = processes[name]
                            print(json.dumps(task), file=process.stdin, flush=True)
                            found.setdefault(model, {})[case] = json.loads(process.stdout.readline())
        for process in processes.values():
            process.stdin.close()
    if not args.only_peers:
        report(found, known, args.cases)


def report(found, known, each):
    print(f"{'model':14} {'peer':21} {'metric':9} {'mean':>8} {'+-':>7}  farthest below 0: case, mean, standard errors")
    for model, ours in found.items():
        for peer in sorted({peer for case in ours for peer in known[case][model]}):
            for metric in ("auc", "accuracy", "log_loss"):
                sign = -1 if metric == "log_loss" else 1
                cases = {}
                for case, scores in ours.items():
                    if peer not in known[case][model]:
                        continue
                    difference = sign * (scores[metric] - known[case][model][peer][metric])
                    cases.setdefault(case[:3], []).append(difference)
                all_of = [difference for of in cases.values() for difference in of]
                error = lambda of: statistics.stdev(of) / len(of) ** 0.5 if len(of) > 1 else float("nan")
                ratio = lambda of: statistics.mean(of) / max(error(of), 1e-12)
                worst = min(cases, key=lambda case: ratio(cases[case]))
                text = f"{worst[0]} {worst[1]} {worst[2]}: {statistics.mean(cases[worst]):+.4f} {ratio(cases[worst]):+.1f}"
                print(f"{model:14} {peer:21} {metric:9} {statistics.mean(all_of):+8.4f} {error(all_of):7.4f}  {text}")
                if each and metric != "log_loss":
                    for case, of in cases.items():
                        print(f"    {case[0]:9} {case[1]:6} {case[2]}: {statistics.mean(of):+.4f} {ratio(of):+6.1f}")
        for metric in ("auc", "accuracy", "log_loss", "seconds"):
            print(f"{model:14} {'ours':21} {metric:9} {statistics.mean(s[metric] for s in ours.values()):8.4f}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
