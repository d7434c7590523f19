"""Golden metrics and weights of many classes and of numbers from scikit-learn, read by tests/kinds.rs.

Bless again, from engine/ml:  pip install scikit-learn && python tests/golden/make_kinds.py
Writes kinds.json beside this file; review the difference before committing it.
"""
import json
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn import metrics
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = Path(__file__).parent
warnings.filterwarnings("ignore")
random = np.random.default_rng(23)


def number(value):
    return None if np.isnan(value) else float(value)


classes = []
for name, rows, k, shares, decimals in [
    ("three classes", 300, 3, None, 6), ("ties", 200, 4, None, 1), ("rare class", 400, 3, [0.7, 0.28, 0.02], 6),
    ("a class without rows", 50, 4, [0.5, 0.3, 0.2, 0.0], 6), ("one class", 20, 3, [0, 1, 0], 6), ("two classes", 100, 2, None, 6),
    ("never predicted", 60, 3, None, 6), ("sure and wrong", 6, 3, None, 0), ("one row", 1, 3, None, 6),
]:
    labels = random.choice(k, rows, p=shares)
    scores = random.normal(size=(rows, k)) + 1.5 * np.eye(k)[labels]
    if name == "never predicted":
        scores[:, 2] -= 20
    if decimals == 0:
        p = np.eye(k)[(labels + 1) % k]
    else:
        p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        p = np.round(p, decimals)
        p[:, -1] = 1 - p[:, :-1].sum(axis=1)
        p = np.clip(p, 0, 1)
    said = p.argmax(axis=1)
    all_there = set(labels) == set(range(k))
    # scikit-learn's log_loss divides by the sum of a row, which rounding moves off 1.
    auc = metrics.roc_auc_score(labels, p if k > 2 else p[:, 1], multi_class="ovr", average="macro") if all_there else np.nan
    if k == 2 and all_there:
        auc = np.mean([metrics.roc_auc_score(labels == c, p[:, c]) for c in range(2)])
    classes.append(dict(
        name=name, classes=k, labels=labels.tolist(), probabilities=p.ravel().tolist(),
        accuracy=metrics.accuracy_score(labels, said), macro_f1=metrics.f1_score(labels, said, average="macro"),
        log_loss=metrics.log_loss(labels, p, labels=range(k)), auc_ovr=number(auc)))

numbers = []
for name, is_, noise in [
    ("many", random.normal(size=301) * 7 + 3, 2.0), ("even", random.normal(size=200), 0.5), ("exact", np.arange(5.0), 0.0),
    ("worse than the mean", np.arange(9.0), 40.0), ("constant", np.full(6, 3.7), 1.0), ("one row", np.array([2.0]), 1.0),
    ("large", random.normal(size=50) * 1e12 + 1e12, 1e11), ("small", random.normal(size=50) * 1e-9, 1e-10),
]:
    said = is_ + noise * random.normal(size=len(is_))
    r2 = metrics.r2_score(is_, said) if len(set(is_)) > 1 else np.nan
    numbers.append(dict(
        name=name, values=is_.tolist(), said=said.tolist(), rmse=metrics.root_mean_squared_error(is_, said),
        mae=metrics.mean_absolute_error(is_, said), r2=number(r2), median_absolute_error=metrics.median_absolute_error(is_, said)))

x = np.round(random.normal(size=(240, 5)) * [1, 50, 0.01, 3, 1] + [0, 1000, 3, -2, 0], 4)
x[:, 4] = np.round(x[:, 0] * 0.7 + random.normal(size=240), 4)
kinds = np.array([f"k{int(k)}" for k in random.zipf(1.6, 240).clip(1, 9)])
score = np.stack([x[:, 0], 0.02 * (x[:, 1] - 1000), 80 * (x[:, 2] - 3), -0.5 * x[:, 0]], axis=1) + random.gumbel(size=(240, 4))
labels = score.argmax(axis=1)
values = 3 + 2 * x[:, 0] - 0.05 * x[:, 1] + 40 * x[:, 2] + random.normal(size=240)
weights = np.round(random.random(240) * 4 + 0.01, 2)
scaled = StandardScaler().fit_transform(x)
hot = OneHotEncoder(sparse_output=False).fit(kinds[:, None])
wide = np.round(random.normal(size=(60, 90)), 3)
inputs = {"standardised": scaled, "raw": x, "one_hot": np.hstack([scaled, hot.transform(kinds[:, None])]), "wide": wide}

softmax = []
for data, alpha, l1_ratio in [
    ("standardised", 1.0, 0.0), ("standardised", 0.01, 0.0), ("raw", 1.0, 0.0), ("one_hot", 1.0, 0.0), ("wide", 2.0, 0.0),
    ("standardised", 5.0, 1.0), ("one_hot", 4.0, 0.3),
]:
    solver = "saga" if l1_ratio else "newton-cg"
    rows = len(inputs[data])
    model = LogisticRegression(C=1 / alpha, l1_ratio=l1_ratio, solver=solver, tol=1e-11, max_iter=1_000_000, random_state=0)
    model.fit(inputs[data], labels[:rows])
    intercepts = model.intercept_ - model.intercept_.mean()
    softmax.append(dict(data=data, alpha=alpha, l1_ratio=l1_ratio, weights=model.coef_.tolist(), intercepts=intercepts.tolist()))

ridge = []
for data, l2, weighted in [
    ("standardised", 1.0, False), ("standardised", 0.0, False), ("raw", 1.0, False), ("raw", 0.0, False), ("raw", 100.0, True),
    ("one_hot", 1.0, False), ("one_hot", 7.5, True), ("wide", 2.0, False), ("wide", 1e-3, False),
]:
    rows = len(inputs[data])
    v = (weights / weights.mean())[:rows] if weighted else None
    model = Ridge(alpha=l2, solver="svd" if not weighted else "cholesky", tol=1e-14).fit(inputs[data], values[:rows], sample_weight=v)
    ridge.append(dict(data=data, l2=l2, weighted=weighted, weights=model.coef_.tolist(), intercept=float(model.intercept_)))

golden = dict(made_by=f"make_kinds.py, scikit-learn {sklearn.__version__}", classes=classes, numbers=numbers, columns=x.T.tolist(),
              kinds=kinds.tolist(), categories=hot.categories_[0].tolist(), wide=wide.T.tolist(), labels=labels.tolist(),
              values=values.tolist(), weights=weights.tolist(), softmax=softmax, ridge=ridge)
(HERE / "kinds.json").write_text(json.dumps(golden) + "\n")
