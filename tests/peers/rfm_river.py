"""The clusters of olist-rfm beside scikit-learn's KMeans and River's online k-means, in one run.

usage: python tests/peers/rfm_river.py TIDEMILL WIDE.parquet [MESSAGES_PER_BATCH ...]     (1000 100 if not given)
       (pip install duckdb numpy river scikit-learn xxhash; WIDE has the columns that sql/olist_rfm/messages.sql reads)

TIDEMILL (the binary) produces the rows to a broker of its own and streams them. Then, on the final table of customers,
amounts capped at Tukey's fences and both columns standardised: the silhouette (of 10,000 customers, the same for all) of
Tidemill's clusterings, of scikit-learn's KMeans on that table, and of River's KMeans (5, half-life .4, sigma 3, seed 0, as
the original) that is fed the rows that Tidemill's learners got (each batch's customers and the 1,000 drawn from the state,
aged to then) in their order; River is given the final scale, which Tidemill has to learn on the way. The rows are worked
out here anew, from the messages, so this also checks the state that was learned from. Prints a JSON line a batch size.
"""
import csv, io, json, os, socket, subprocess, sys, tempfile, time

import duckdb, numpy as np, xxhash
from river import cluster
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

CLUSTERS, SAMPLE, SEED, SCORED = 5, 1000, 42, 10_000
U64 = 2**64 - 1


def xxh3(data, seed):
    return xxhash.xxh3_64_intdigest(data, seed=seed & U64)


def draw(of, count, seed):
    """As engine/core/src/learn/sample.rs: Floyd's algorithm."""
    drawn = set()
    for last in range(max(of - count, 0), of):
        n = xxh3(last.to_bytes(4, "little"), seed) % (last + 1)
        drawn.add(last if n in drawn else n)
    return sorted(drawn)


def rows_learned(messages, per_batch):
    """Of each batch, the (recency, monetary) rows that the learners got."""
    number, last, money, seen, latest = {}, [], [], set(), 0
    for batch, start in enumerate(range(0, len(messages), per_batch)):
        touched, order = set(), []
        for customer, at, order_id, payment, cents in messages[start:start + per_batch]:
            n = number.setdefault(customer, len(number))
            if n == len(last):
                last.append(0)
                money.append(0)
            if n not in touched:
                touched.add(n)
                order.append(n)
            last[n] = max(last[n], at)
            latest = max(latest, at)
            if (order_id, payment) not in seen:
                seen.add((order_id, payment))
                money[n] += cents
        seed = xxh3(b"learn", xxh3(batch.to_bytes(8, "little"), SEED))
        keys = order + [n for n in draw(len(last), SAMPLE, seed) if n not in touched]
        shuffle = xxh3(b"order", xxh3(batch.to_bytes(8, "little"), SEED))
        keys.sort(key=lambda n: xxh3(n.to_bytes(4, "little"), shuffle))
        yield np.array([((latest - last[n]) // 86400, money[n] / 100) for n in keys], float)


def prepared(table):
    """Tukey's fences and mean and deviation of a table, as a function of rows."""
    q1, q3 = np.quantile(table, [0.25, 0.75], axis=0)
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    capped = np.clip(table, low, high)
    mean, deviation = capped.mean(0), capped.std(0)
    return lambda rows: (np.clip(rows, low, high) - mean) / deviation


def tidemill(binary, wide, per_batch, folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    broker = subprocess.Popen([binary, "broker", "--listen", address, "--data-dir", f"{folder}/broker"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run = lambda *arguments: subprocess.run([binary, "--lake", f"{folder}/lake", "--project", f"{folder}/none", *arguments],
                                            check=True, capture_output=True, text=True).stdout
    sql = lambda text: list(csv.DictReader(io.StringIO(run("sql", text, "--format", "csv"))))
    try:
        time.sleep(2)
        run("produce", "olist-rfm", "--brokers", address, "--input", wide)
        started = time.time()
        run("stream", "olist-rfm", "--brokers", address, "--available-now", "--set", f"source.max_offsets_per_trigger={per_batch}")
        streamed = time.time() - started
    finally:
        broker.terminate()
        broker.wait()
    customers = sql("SELECT customer_unique_id, recency_days, monetary, cluster_minibatch, cluster_online, cluster_full FROM olist_rfm.customers")
    learned = sql("SELECT model, sum(train_rows) AS rows, sum(train_ms) AS ms FROM system.models WHERE status = 'trained' GROUP BY model")
    speed = {row["model"]: round(1e3 * float(row["rows"]) / float(row["ms"])) for row in learned}
    return customers, speed, streamed


def main():
    binary, wide = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    messages = duckdb.sql(f"""SELECT customer_unique_id, CAST(epoch(purchased_at) AS BIGINT), order_id, payment_sequential,
        CAST(round(payment_brl * 100) AS BIGINT) FROM '{wide}'
        ORDER BY purchased_at, order_id, order_item_id, payment_sequential, review_id""").fetchall()
    for per_batch in [int(n) for n in sys.argv[3:]] or [1000, 100]:
        with tempfile.TemporaryDirectory() as folder:
            customers, speed, streamed = tidemill(binary, wide, per_batch, folder)
        table = np.array([(float(c["recency_days"]), float(c["monetary"])) for c in customers])
        scale = prepared(table)
        points = scale(table)
        some = np.random.default_rng(0).choice(len(points), min(SCORED, len(points)), replace=False)
        silhouette = lambda labels: round(float(silhouette_score(points[some], np.asarray(labels)[some])), 4)
        found = {name: silhouette([int(c[f"cluster_{name}"]) for c in customers]) for name in ("minibatch", "online", "full")}
        found["scikit-learn"] = silhouette(KMeans(CLUSTERS, n_init=10, random_state=0).fit_predict(points))
        batches = [scale(rows) for rows in rows_learned(messages, per_batch)]
        fed = [dict(enumerate(map(float, row))) for rows in batches for row in rows]
        river = cluster.KMeans(n_clusters=CLUSTERS, halflife=0.4, sigma=3, seed=0)
        started = time.time()
        for row in fed:
            river.learn_one(row)
        river_speed = len(fed) / (time.time() - started)
        found["river"] = silhouette([river.predict_one(dict(enumerate(map(float, row)))) for row in points])
        print(json.dumps({
            "messages_per_batch": per_batch, "messages": len(messages), "customers": len(customers), "silhouette": found,
            "minibatch - scikit-learn": round(found["minibatch"] - found["scikit-learn"], 4),
            "minibatch - river": round(found["minibatch"] - found["river"], 4),
            "learned_rows_per_s": {**speed, "river": round(river_speed)},
            "learned_rows_per_s / river": {name: round(rate / river_speed, 1) for name, rate in speed.items()},
            "stream_messages_per_s": round(len(messages) / streamed), "rows_fed": len(fed),
        }), flush=True)


if __name__ == "__main__":
    main()
