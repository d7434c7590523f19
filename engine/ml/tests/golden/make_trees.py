"""Golden numbers of decision tree and gradient boosting from scikit-learn 1.9, for tests/trees.rs.

    python make_trees.py > trees.json

Columns have few values, so that a bin is a value and the search for splits is exact on both sides. The tree's golden
numbers are the share of positives and the rows (by weight) of each row's leaf; ours draws a leaf towards the whole by one
row of mean weight, which the test does to these numbers.
"""

import json

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.tree import DecisionTreeClassifier

rng = np.random.default_rng(11)
n = 1200
x = np.column_stack(
    [rng.integers(0, 40, n), rng.integers(-10, 10, n), rng.integers(0, 7, n), rng.poisson(3, n)]
).astype(float)
score = 0.1 * (x[:, 0] - 20) + 0.2 * x[:, 1] * (x[:, 2] > 3) - 0.3 * x[:, 3]
y = rng.uniform(size=n) < 1 / (1 + np.exp(-score))
weights = rng.integers(1, 6, n).astype(float)
missing = x.copy()
missing[rng.uniform(size=n) < 0.2 + 0.2 * y, 1] = np.nan


def tree(sample_weight=None, class_weight=None):
    model = DecisionTreeClassifier(max_depth=5, min_samples_leaf=25, class_weight=class_weight, random_state=0)
    model.fit(x, y, sample_weight=sample_weight)
    leaf = model.apply(x)
    return {
        "shares": model.predict_proba(x)[:, 1].round(9).tolist(),
        "leaf_weights": model.tree_.weighted_n_node_samples[leaf].round(6).tolist(),
        "importances": model.feature_importances_.tolist(),
        "leaves": int(model.get_n_leaves()),
    }


def boosted(sample_weight=None, **settings):
    model = HistGradientBoostingClassifier(
        max_iter=30, max_leaf_nodes=12, early_stopping=False, random_state=0, **settings
    )
    return model.fit(missing, y, sample_weight=sample_weight).predict_proba(missing)[:, 1].round(7).tolist()


print(
    json.dumps(
        {
            "columns": x.T.tolist(),
            "labels": y.tolist(),
            "weights": weights.tolist(),
            "missing": [[None if np.isnan(v) else v for v in column] for column in missing.T.tolist()],
            "tree": tree(),
            "tree_weighted": tree(sample_weight=weights),
            "tree_balanced": tree(class_weight="balanced"),
            "boosted": boosted(),
            "boosted_l2": boosted(l2_regularization=3.0, learning_rate=0.3),
            "boosted_weighted": boosted(sample_weight=weights),
        }
    )
)
