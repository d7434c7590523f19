"""Golden numbers from scikit-learn, read by the tests of tidemill-ml.

Bless again, from engine/ml:  pip install scikit-learn && python tests/golden/make_golden.py
Writes metrics.json and logistic.json beside this file; review the difference before committing it.
"""
import json
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.calibration import calibration_curve
from sklearn.metrics import (accuracy_score, average_precision_score, brier_score_loss, confusion_matrix, f1_score,
                             log_loss, precision_score, recall_score, roc_auc_score)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
warnings.filterwarnings("ignore")


def calibration_one(y, p):
    """calibration_curve, which refuses rows of one class, by its own rule."""
    bins = np.searchsorted(np.linspace(0, 1, 11)[1:-1], p)
    present = np.unique(bins)
    return np.array([y[bins == b].mean() for b in present]), np.array([p[bins == b].mean() for b in present])


def metrics(name, labels, probabilities):
    y, p = np.array(labels, dtype=int), np.array(probabilities, dtype=float)
    predicted = (p > 0.5).astype(int)
    tn, fp, fn, tp = confusion_matrix(y, predicted, labels=[0, 1]).ravel().tolist()
    ratio = lambda f, defined: float(f(y, predicted)) if defined else None
    share, mean = calibration_curve(y, p, n_bins=10) if 0 < y.sum() < len(y) else calibration_one(y, p)
    edges = np.linspace(0, 1, 11)
    rows = np.bincount(np.searchsorted(edges[1:-1], p), minlength=10)
    return dict(
        name=name, labels=[bool(v) for v in y], probabilities=p.tolist(),
        calibration=np.stack([mean, share], axis=1).tolist(),
        expected=dict(
            rows=len(y), accuracy=float(accuracy_score(y, predicted)),
            auc=float(roc_auc_score(y, p)) if 0 < y.sum() < len(y) else None,
            log_loss=float(log_loss(y, p, labels=[0, 1])),
            precision=ratio(precision_score, tp + fp > 0), recall=ratio(recall_score, tp + fn > 0),
            f1=ratio(f1_score, 2 * tp + fp + fn > 0),
            brier=float(brier_score_loss(y, p, labels=[0, 1])),
            pr_auc=float(average_precision_score(y, p)) if y.any() else None,
            calibration_error=float((rows[rows > 0] / len(y) * np.abs(mean - share)).sum()),
            true_positives=tp, false_positives=fp, true_negatives=tn, false_negatives=fn))


random = np.random.default_rng(7)
y = random.random(60) < 0.3
p = np.clip(0.3 * y + random.random(60) * 0.7, 0, 1)
cases = [
    metrics("distinct scores", y, p),
    metrics("many ties", y, np.round(p, 1)),
    metrics("all tied", y, np.full(60, 0.25)),
    metrics("perfect", y, np.where(y, 0.9, 0.1)),
    metrics("inverted and sure", y, np.where(y, 0.0, 1.0)),
    metrics("sure and right", y, y.astype(float)),
    metrics("one half is negative", [1, 0, 1, 0], [0.5, 0.5, 0.5000001, 0.4999999]),
    metrics("positives only", [1, 1, 1], [0.2, 0.6, 0.9]),
    metrics("negatives only", [0, 0], [0.2, 0.1]),
    metrics("one row", [1], [0.7]),
]
head = dict(made_by=f"make_golden.py, scikit-learn {sklearn.__version__}")
(HERE / "metrics.json").write_text(json.dumps(dict(head, cases=cases), indent=1) + "\n")

x = np.round(random.normal(size=(80, 3)) * [1, 50, 0.01] + [0, 1000, 3], 4)
y = random.random(80) < 1 / (1 + np.exp(-(1.5 * x[:, 0] - 0.03 * (x[:, 1] - 1000))))
fits = []
for alpha in [0.1, 1.0, 20.0]:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / alpha, tol=1e-10, max_iter=1000)).fit(x, y)
    fits.append(dict(alpha=alpha, probabilities=model.predict_proba(x)[:, 1].tolist()))
golden = dict(head, columns=x.T.tolist(), labels=y.tolist(), fits=fits)
(HERE / "logistic.json").write_text(json.dumps(golden, indent=1) + "\n")
