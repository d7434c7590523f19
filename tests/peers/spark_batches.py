"""Time per batch beside Spark Structured Streaming, in one run: append 120 rows, retrain on everything, score.

usage: python tests/peers/spark_batches.py CSV [--tidemill-only]
       (Java 17 or newer and `pip install pyspark==4.3.*`; CSV is the portal's form, plain text)

Spark: file source, foreachBatch appends to Parquet, reads all back, StringIndexer + VectorAssembler, fits logistic
regression, decision tree and random forest on 70 %, scores the rest; no prequential scoring. Tidemill: `cargo bench
--bench batches` on the same file: Kafka source, exactly-once append, logistic regression and forest, both scorings.
Prints one JSON line a measurement and the ratios of the medians with the spread of each side.
"""
import csv, json, os, statistics, subprocess, sys, tempfile, time

SMALL, FEW, HISTORY, BIG = 120, 8, 70_000, 5_000


def spark(path):
    from pyspark.sql import SparkSession, functions as F
    from pyspark.ml.feature import StringIndexer, VectorAssembler
    from pyspark.ml.classification import LogisticRegression, DecisionTreeClassifier, RandomForestClassifier
    from pyspark.ml.evaluation import BinaryClassificationEvaluator, MulticlassClassificationEvaluator

    folder = tempfile.mkdtemp()
    sizes = {"fresh": [SMALL] * FEW, "grown": [BIG] * (HISTORY // BIG) + [SMALL] * FEW}
    for name, batches in sizes.items():
        os.makedirs(f"{folder}/{name}/in")
        with open(path) as f:
            rows = csv.reader(f)
            head = next(rows)
            for b, size in enumerate(batches):
                file = f"{folder}/{name}/in/b{b:04d}.csv"
                with open(file, "w") as o:
                    writer = csv.writer(o)
                    writer.writerows(next(rows) for _ in range(size))
                os.utime(file, (1e9 + b, 1e9 + b))
    began = time.time()
    session = (SparkSession.builder.master("local[2]").config("spark.driver.memory", "6g")
               .config("spark.sql.shuffle.partitions", "2").config("spark.ui.enabled", "false")
               .config("spark.sql.ansi.enabled", "false").getOrCreate())
    session.sparkContext.setLogLevel("ERROR")
    ready = time.time() - began
    categories = ["IUCR", "Location Description", "FBI Code", "Block"]
    numbers = ["Beat", "District", "Community Area", "X Coordinate", "Y Coordinate"]

    def run(name):
        times = []

        def step(frame, _):
            start = time.time()
            frame.write.mode("append").parquet(f"{folder}/{name}/lake")
            at = F.to_timestamp("Date", "MM/dd/yyyy hh:mm:ss a")
            x = session.read.parquet(f"{folder}/{name}/lake").select(
                (F.lower("Arrest") == "true").cast("int").alias("label"),
                (F.lower("Domestic") == "true").cast("int").alias("Domestic"),
                *[F.col(c).cast("double").alias(c.replace(" ", "")) for c in numbers],
                *[F.col(c) for c in categories],
                F.month(at).alias("m"), F.dayofmonth(at).alias("dd"), F.hour(at).alias("h"), F.minute(at).alias("mi"),
            ).dropna()
            x = StringIndexer(inputCols=categories, outputCols=[c + "_i" for c in categories]).fit(x).transform(x)
            for c in categories:
                x = x.withColumn(c + "_i", F.col(c + "_i") + F.lit(0.0))
            columns = ["Domestic", *[c.replace(" ", "") for c in numbers], "m", "dd", "h", "mi", *[c + "_i" for c in categories]]
            x = VectorAssembler(inputCols=columns, outputCol="features").transform(x).select("label", "features")
            train, test = x.randomSplit([.7, .3], seed=42)
            train.cache(), test.cache()
            for model in (LogisticRegression(), DecisionTreeClassifier(seed=1), RandomForestClassifier(seed=1)):
                scored = model.fit(train).transform(test)
                MulticlassClassificationEvaluator(metricName="accuracy").evaluate(scored)
                BinaryClassificationEvaluator().evaluate(scored)
            train.unpersist(), test.unpersist()
            times.append((time.time() - start) * 1e3)

        schema = ", ".join(f"`{h or 'c0'}` string" for h in head)
        query = (session.readStream.schema(schema).option("maxFilesPerTrigger", 1).csv(f"{folder}/{name}/in")
                 .writeStream.foreachBatch(step).option("checkpointLocation", f"{folder}/{name}/checkpoint")
                 .trigger(availableNow=True).start())
        query.awaitTermination()
        return times

    fresh, grown = run("fresh")[1:], run("grown")[-FEW + 1:]
    session.stop()
    return {"ready_s": round(ready, 2), "from_nothing_ms": summary(fresh), "on_history_ms": summary(grown)}


def summary(times):
    return {"min": round(min(times), 1), "median": round(statistics.median(times), 1), "max": round(max(times), 1)}


def tidemill(path):
    # The benchmark looks for the file where the data sets lie.
    data = tempfile.mkdtemp()
    os.makedirs(f"{data}/chicago_crimes")
    subprocess.run(f"gzip -c '{path}' > {data}/chicago_crimes/crimes_combined.csv.gz", shell=True, check=True)
    out = subprocess.run(["cargo", "bench", "--quiet", "--bench", "batches"], env={**os.environ, "TIDEMILL_DATA": data},
                         stdout=subprocess.PIPE, check=True, text=True).stdout
    return json.loads(out.strip().splitlines()[-1])


if __name__ == "__main__":
    ours = tidemill(sys.argv[1])
    print(json.dumps({"tidemill": ours}), flush=True)
    if "--tidemill-only" not in sys.argv:
        theirs = spark(sys.argv[1])
        print(json.dumps({"spark": theirs}), flush=True)
        for key in ("from_nothing_ms", "on_history_ms"):
            a, b = ours[key], theirs[key]
            print(f"{key}: Spark / Tidemill = {b['median'] / a['median']:.0f} "
                  f"(from {b['min'] / a['max']:.0f} to {b['max'] / a['min']:.0f})")
