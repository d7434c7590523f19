"""Golden weights of linear models from scikit-learn, read by tests/linear.rs.

Bless again, from engine/ml:  pip install scikit-learn && python tests/golden/make_linear.py
Writes linear.json beside this file; review the difference before committing it.
"""
import json
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = Path(__file__).parent
warnings.filterwarnings("ignore")
random = np.random.default_rng(11)

x = np.round(random.normal(size=(200, 5)) * [1, 50, 0.01, 3, 1] + [0, 1000, 3, -2, 0], 4)
x[:, 4] = np.round(x[:, 0] * 0.7 + random.normal(size=200), 4)
kinds = np.array([f"k{int(k)}" for k in random.zipf(1.6, 200).clip(1, 9)])
effect = {f"k{i}": v for i, v in enumerate(random.normal(size=10))}
score = 1.5 * x[:, 0] - 0.03 * (x[:, 1] - 1000) + np.array([effect[k] for k in kinds])
y = random.random(200) < 1 / (1 + np.exp(-score))
wide = np.round(random.normal(size=(200, 70)), 3)

hot = OneHotEncoder(sparse_output=False).fit(kinds[:, None])
scaled = StandardScaler().fit_transform(x)
inputs = {
    "standardised": scaled,
    "raw": x,
    "one_hot": np.hstack([scaled, hot.transform(kinds[:, None])]),
    "wide": wide,
}
cases = []
for data, alpha, l1_ratio in [
    ("standardised", 1.0, 0.0), ("standardised", 5.0, 1.0), ("standardised", 30.0, 1.0), ("standardised", 5.0, 0.5),
    ("raw", 1.0, 0.0), ("raw", 0.01, 0.0), ("one_hot", 1.0, 0.0), ("one_hot", 4.0, 1.0), ("one_hot", 4.0, 0.3),
    ("wide", 2.0, 0.0), ("wide", 6.0, 1.0),
]:
    solver = "saga" if l1_ratio else "newton-cholesky"
    model = LogisticRegression(C=1 / alpha, l1_ratio=l1_ratio, solver=solver, tol=1e-11, max_iter=1_000_000, random_state=0)
    model.fit(inputs[data], y)
    cases.append(dict(data=data, alpha=alpha, l1_ratio=l1_ratio, weights=model.coef_[0].tolist(),
                      intercept=float(model.intercept_[0])))
sgd = []
for penalty, learning_rate, average, epochs in [
    ("l2", "optimal", False, 1), ("l2", "constant", False, 3), ("l2", "invscaling", True, 2), (None, "constant", True, 1),
    ("l1", "constant", False, 4), ("elasticnet", "optimal", False, 3), (None, "adaptive", False, 60),
]:
    model = SGDClassifier(loss="log_loss", penalty=penalty, alpha=0.01, l1_ratio=0.15, learning_rate=learning_rate, eta0=0.05,
                          power_t=0.5, average=average, max_iter=epochs, tol=1e-3, n_iter_no_change=2, shuffle=False)
    model.fit(scaled, y)
    sgd.append(dict(penalty=penalty, learning_rate=learning_rate, average=average, epochs=epochs,
                    weights=model.coef_[0].tolist(), intercept=float(model.intercept_[0])))
golden = dict(made_by=f"make_linear.py, scikit-learn {sklearn.__version__}", columns=x.T.tolist(), kinds=kinds.tolist(),
              categories=hot.categories_[0].tolist(), wide=wide.T.tolist(), labels=y.tolist(), cases=cases, scaled=scaled.T.tolist(), sgd=sgd)
(HERE / "linear.json").write_text(json.dumps(golden) + "\n")
