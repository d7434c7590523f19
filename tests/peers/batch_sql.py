"""Two batch jobs on Tidemill, DuckDB, Polars, pandas and PySpark: from the same CSV files to the same Parquet tables.

usage: batch_sql.py --data DIR [--tidemill target/release/tidemill] [--rounds 3] [--engines tidemill,duckdb,...] [--jobs ...]

DIR has olist/ and online_retail/ (data/README.md), plain or .gz; they are unpacked once, so that all read the same bytes.
Each job is one table with what it needs: `wide` (order_gaps, zip_locations) and `segments_features` (lines, segments_lines).
DuckDB and Spark run the files of sql/ as they are, but for the spelling of a few functions; Polars and pandas, which have
no such SQL, do the same steps in their own words. All tables are written as Parquet with zstd. Nulls are kept as nulls.

Engines take turns, each in a process of its own, start included; every process may use 2 threads. Printed are, for each,
wall and CPU seconds (median, least to most), peak memory, the ratio of Tidemill to it (median, least to most of the rounds),
and whether its rows equal DuckDB's: sorted by key, cell by cell, floats to 1e-9 relative (Spark reads CRLF within a cell as LF:
for Spark both sides are compared with LF).

Needs: pip install duckdb polars pandas pyarrow pyspark; Spark needs Java 17 or newer.
"""
import argparse, glob, gzip, json, os, re, shutil, statistics, subprocess, sys, tempfile, threading, time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENGINES = ["tidemill", "duckdb", "polars", "pandas", "spark"]
THREADS = "2"
TIMES = "order_purchase_timestamp order_approved_at order_delivered_carrier_date order_delivered_customer_date order_estimated_delivery_date".split()
#: job -> (folder of data, folder of SQL, tables in order, key of the last one)
JOBS = {
    "wide": ("olist", "olist", ["order_gaps", "zip_locations", "wide"],
             ["order_id", "order_item_id", "payment_sequential", "review_id"]),
    "segments_features": ("online_retail", "online_retail", ["lines", "segments_lines", "segments_features"], ["customer_id"]),
}
#: input -> file and the columns that are not text
INPUTS = {
    "orders": ("olist_orders_dataset", {c: "TIMESTAMP" for c in TIMES}),
    "items": ("olist_order_items_dataset", {"order_item_id": "INT", "shipping_limit_date": "TIMESTAMP", "price": "DECIMAL(10,2)", "freight_value": "DECIMAL(10,2)"}),
    "payments": ("olist_order_payments_dataset", {"payment_sequential": "INT", "payment_installments": "INT", "payment_value": "DECIMAL(10,2)"}),
    "reviews": ("olist_order_reviews_dataset", {"review_score": "INT", "review_creation_date": "TIMESTAMP", "review_answer_timestamp": "TIMESTAMP"}),
    "products": ("olist_products_dataset", {c: "INT" for c in "product_name_lenght product_description_lenght product_photos_qty product_weight_g product_length_cm product_height_cm product_width_cm".split()}),
    "customers": ("olist_customers_dataset", {}),
    "sellers": ("olist_sellers_dataset", {}),
    "geolocation": ("olist_geolocation_dataset", {"geolocation_lat": "DOUBLE", "geolocation_lng": "DOUBLE"}),
    "translation": ("product_category_name_translation", {}),
}
LINE_TYPES = {"Quantity": "BIGINT", "UnitPrice": "DOUBLE", "CustomerID": "BIGINT"}
KM = 6371.0088


def columns(path):
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return [c.strip('"') for c in file.readline().strip().split(",")]


def sql_of(folder, table):
    return open(f"{ROOT}/sql/{folder}/{table}.sql").read()


# --- DuckDB ---------------------------------------------------------------------------------------------------------

def duckdb_inputs(con, folder, data):
    """Functions and inputs of a job, as its SQL names them."""
    con.execute("CREATE MACRO parse_date(t, f) AS strptime(t, f)")
    con.execute("CREATE MACRO regexp_like(t, p) AS regexp_matches(t, p)")
    con.execute(f"""CREATE MACRO haversine_km(a, b, c, d) AS 2 * {KM} * asin(sqrt(
        pow(sin(radians(c - a) / 2), 2) + cos(radians(a)) * cos(radians(c)) * pow(sin(radians(d - b) / 2), 2)))""")
    def kinds(path, types):
        return json.dumps({c: types.get(c, "VARCHAR") for c in columns(path)}).replace('"', "'")
    if folder == "olist":
        for name, (file, types) in INPUTS.items():
            path = f"{data}/olist/{file}.csv"
            con.execute(f"CREATE VIEW {name} AS SELECT * FROM read_csv('{path}', header=true, quote='\"', escape='\"', columns={kinds(path, types)})")
    else:
        path = f"{data}/online_retail/data.csv"
        # latin-1 and windows-1252 agree on the one byte past ASCII that the file has.
        con.execute(f"CREATE VIEW invoice_lines AS SELECT *, row_number() OVER () AS \"_row\" FROM "
                    f"read_csv('{path}', header=true, quote='\"', escape='\"', encoding='latin-1', columns={kinds(path, LINE_TYPES)})")


def duckdb_job(job, data, out):
    import duckdb
    folder, sql, tables, _ = JOBS[job]
    con = duckdb.connect(config={"threads": int(THREADS)})
    duckdb_inputs(con, folder, data)
    for table in tables[:-1]:
        con.execute(f"CREATE TABLE {table} AS {sql_of(sql, table)}")
        con.execute(f"COPY {table} TO '{out}/{table}.parquet' (FORMAT parquet, COMPRESSION zstd)")
    con.execute(f"COPY ({sql_of(sql, job)}) TO '{out}/{job}.parquet' (FORMAT parquet, COMPRESSION zstd)")


# --- PySpark --------------------------------------------------------------------------------------------------------

def spark_words(sql):
    """The words that Spark spells otherwise."""
    sql = re.sub(r"EXTRACT\(EPOCH FROM ([\w.]+) - ([\w.]+)\)", r"CAST(unix_timestamp(\1) - unix_timestamp(\2) AS DOUBLE)", sql)
    sql = re.sub(r"EXTRACT\(ISODOW FROM (\w+)\)", r"(weekday(\1) + 1)", sql)
    sql = re.sub(r"CAST\(c\.newest_day - c\.last_day AS INT\)", "datediff(c.newest_day, c.last_day)", sql)
    sql = re.sub(r"CAST\(c\.last_day - c\.first_day AS DOUBLE\)", "CAST(datediff(c.last_day, c.first_day) AS DOUBLE)", sql)
    sql = re.sub(r"PARSE_DATE\(([^,]+), '[^']*'\)", r"to_timestamp(\1, 'M/d/yyyy H:mm')", sql)
    return sql.replace("AS TEXT)", "AS STRING)").replace("STARTS_WITH(", "startswith(").replace('"', "`")


def spark_job(job, data, out):
    from pyspark.sql import SparkSession
    folder, sql, tables, _ = JOBS[job]
    s = (SparkSession.builder.master(f"local[{THREADS}]").config("spark.driver.memory", "6g")
         .config("spark.sql.shuffle.partitions", "4").config("spark.ui.enabled", "false")
         .config("spark.sql.session.timeZone", "UTC").config("spark.sql.parquet.compression.codec", "zstd").getOrCreate())
    s.sparkContext.setLogLevel("ERROR")
    s.sql(f"""CREATE TEMPORARY FUNCTION haversine_km(a DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE) RETURNS DOUBLE RETURN
        2 * {KM} * asin(sqrt(pow(sin(radians(c - a) / 2), 2) + cos(radians(a)) * cos(radians(c)) * pow(sin(radians(d - b) / 2), 2)))""")
    read = lambda path, types, **more: s.read.csv(path, header=True, quote='"', escape='"', timestampFormat="yyyy-MM-dd HH:mm:ss", mode="FAILFAST",
        schema=", ".join(f"`{c}` {types.get(c, 'STRING')}" for c in columns(path)), **more)
    if job == "wide":
        for name, (file, types) in INPUTS.items():
            read(f"{data}/{folder}/{file}.csv", types, multiLine=name == "reviews").createOrReplaceTempView(name)
    else:
        from pyspark.sql.functions import monotonically_increasing_id
        # Increasing in file order, which is all that "the first of them" needs.
        lines = read(f"{data}/{folder}/data.csv", LINE_TYPES, encoding="iso-8859-1")
        lines.withColumn("_row", monotonically_increasing_id()).createOrReplaceTempView("invoice_lines")
    for table in tables:
        s.sql(spark_words(sql_of(sql, table))).write.parquet(f"{out}/{table}.parquet")
        s.read.parquet(f"{out}/{table}.parquet").createOrReplaceTempView(table)
    s.stop()


# --- Polars ---------------------------------------------------------------------------------------------------------

def polars_job(job, data, out):
    os.environ["POLARS_MAX_THREADS"] = THREADS
    import polars as pl
    kinds = {"INT": pl.Int32, "BIGINT": pl.Int64, "DOUBLE": pl.Float64, "TIMESTAMP": pl.String, "DECIMAL(10,2)": pl.Decimal(10, 2)}
    def write(frame, table):
        frame.write_parquet(f"{out}/{table}.parquet", compression="zstd")
        return frame
    if job == "wide":
        def read(name):
            file, types = INPUTS[name]
            path = f"{data}/olist/{file}.csv"
            frame = pl.scan_csv(path, schema={c: kinds.get(types.get(c), pl.String) for c in columns(path)})
            return frame.with_columns(pl.col(c).str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us") for c, t in types.items() if t == "TIMESTAMP")
        orders = read("orders").collect()
        bought, approved, carrier, delivered, estimated = TIMES
        gaps = write(orders.select(
            ((pl.col(b) - pl.col(a)).dt.total_seconds().median().floor().cast(pl.Int64)).alias(n)
            for a, b, n in [(bought, approved, "approved_s"), (approved, carrier, "carrier_s"), (carrier, delivered, "delivered_s")]), "order_gaps")
        zips = write(read("geolocation").unique().group_by(pl.col("geolocation_zip_code_prefix").alias("zip_code_prefix")).agg(
            pl.col("geolocation_lat").mean().alias("latitude"), pl.col("geolocation_lng").mean().alias("longitude"), pl.len().alias("points")).collect(), "zip_locations")
        gap = {n: pl.duration(seconds=gaps[n][0]) for n in gaps.columns}
        timed = orders.lazy().with_columns(
            *(pl.col(c).is_null().alias(n) for c, n in [(approved, "approved_at_filled"), (carrier, "carrier_at_filled"), (delivered, "delivered_at_filled")]),
            pl.col(approved).fill_null(pl.col(bought) + gap["approved_s"]).alias("approved_at"),
        ).with_columns(pl.col(carrier).fill_null(pl.col("approved_at") + gap["carrier_s"]).alias("carrier_at")
        ).with_columns(pl.col(delivered).fill_null(pl.col("carrier_at") + gap["delivered_s"]).alias("delivered_at"))
        sizes = ["product_weight_g", "product_length_cm", "product_height_cm", "product_width_cm"]
        sized = read("products").with_columns(pl.any_horizontal(pl.col(c).is_null() for c in sizes).alias("product_size_filled")
        ).with_columns(pl.col(c).cast(pl.Float64).fill_null(pl.col(c).mean()) for c in sizes)
        place = lambda who: zips.lazy().select(pl.col("zip_code_prefix").alias(f"{who}_zip_code_prefix"), pl.col("latitude").alias(f"{who}_latitude"), pl.col("longitude").alias(f"{who}_longitude"))
        hours = lambda a, b: ((pl.col(a) - pl.col(b)).dt.total_seconds().cast(pl.Float64) / 3600)
        a, b, c, d = (pl.col(x).radians() for x in ["seller_latitude", "seller_longitude", "customer_latitude", "customer_longitude"])
        wide = (timed.join(read("items"), on="order_id", how="left").join(read("payments"), on="order_id").join(read("reviews"), on="order_id")
            .join(sized, on="product_id").join(read("customers"), on="customer_id").join(read("sellers"), on="seller_id")
            .join(read("translation"), on="product_category_name")
            .join(place("customer"), on="customer_zip_code_prefix", how="left").join(place("seller"), on="seller_zip_code_prefix", how="left")
            .rename({bought: "purchased_at", estimated: "estimated_delivery_at", "shipping_limit_date": "shipping_limit_at", "price": "price_brl", "freight_value": "freight_brl",
                     "payment_value": "payment_brl", "review_creation_date": "review_created_at", "review_answer_timestamp": "review_answered_at",
                     "product_name_lenght": "product_name_length_chars", "product_description_lenght": "product_description_length_chars"})
            .drop(approved, carrier, delivered)
            .with_columns(
                hours("delivered_at", "purchased_at").alias("order_process_time_hours"), hours("delivered_at", "carrier_at").alias("order_delivery_time_hours"),
                hours("estimated_delivery_at", "delivered_at").alias("order_time_accuracy_hours"), hours("approved_at", "purchased_at").alias("order_approved_time_hours"),
                hours("review_created_at", "delivered_at").alias("review_send_time_hours"), hours("review_answered_at", "review_created_at").alias("review_answer_time_hours"),
                (pl.col("product_length_cm") * pl.col("product_height_cm") * pl.col("product_width_cm")).alias("product_volume_cm3"),
                (2 * KM * (((c - a) / 2).sin() ** 2 + a.cos() * c.cos() * ((d - b) / 2).sin() ** 2).sqrt().clip(upper_bound=1).arcsin()).alias("seller_customer_distance_km")))
        write(wide.collect(), "wide")
    else:
        path = f"{data}/online_retail/data.csv"
        raw = pl.read_csv(path, schema={c: kinds.get(LINE_TYPES.get(c), pl.String) for c in columns(path)}, encoding="cp1252")
        lines = write(raw.select(
            pl.int_range(1, pl.len() + 1).alias("line"), pl.col("InvoiceNo").alias("invoice_no"), pl.col("StockCode").alias("stock_code"), pl.col("Description").alias("description"),
            pl.col("Quantity").alias("quantity"), pl.col("InvoiceDate").str.to_datetime("%m/%d/%Y %H:%M", time_unit="us").alias("invoiced_at"),
            pl.col("UnitPrice").alias("unit_price"), pl.col("CustomerID").alias("customer_id"), pl.col("Country").alias("country")), "lines")
        kept = write(lines.lazy().drop_nulls(["customer_id", "description"])
            .unique(["invoice_no", "stock_code", "description", "customer_id", "quantity"], keep="first", maintain_order=True)
            .filter(pl.col("stock_code").str.contains("[0-9].*[0-9]") & ~pl.col("description").is_in(["Next Day Carriage", "High Resolution Image"]) & (pl.col("unit_price") > 0))
            .with_columns(pl.col("invoice_no").str.starts_with("C").alias("cancelled")).collect(), "segments_lines").lazy()
        day, spent = pl.col("invoiced_at").dt.date(), pl.col("quantity") * pl.col("unit_price")
        totals = kept.group_by("customer_id").agg(
            pl.len().alias("n"), day.min().alias("first_day"), day.max().alias("last_day"), pl.col("invoice_no").n_unique().alias("total_transactions"),
            pl.col("quantity").sum().alias("total_products_purchased"), spent.sum().alias("total_spend"), pl.col("stock_code").n_unique().alias("unique_products_purchased"),
            pl.col("invoice_no").filter(pl.col("cancelled")).n_unique().alias("cancellation_frequency")).sort("customer_id").collect()
        customers = totals.filter(pl.col("n") > 1)
        customers = customers.with_columns(same_place=totals["total_transactions"].head(len(customers)))
        def most(value, name):
            return (kept.select("customer_id", value.alias(name)).group_by("customer_id", name).len()
                    .sort(["customer_id", "len", name], descending=[False, True, False]).unique("customer_id", keep="first", maintain_order=True).drop("len"))
        months = (kept.group_by("customer_id", pl.col("invoiced_at").dt.truncate("1mo").alias("month")).agg(spent.sum().alias("spent")).sort("customer_id", "month")
            .group_by("customer_id", maintain_order=True).agg(pl.col("spent").mean().alias("monthly_spending_mean"), pl.col("spent").std().fill_null(0).alias("monthly_spending_std"),
                (pl.cov(pl.col("spent"), pl.int_range(pl.len()).cast(pl.Float64)) / pl.int_range(pl.len()).cast(pl.Float64).var()).fill_null(0).fill_nan(0).alias("spending_trend")))
        frame = (customers.lazy().join(most(pl.col("invoiced_at").dt.weekday() - 1, "day_of_week"), on="customer_id").join(most(pl.col("invoiced_at").dt.hour(), "hour"), on="customer_id")
            .join(most(pl.col("country"), "country"), on="customer_id").join(months, on="customer_id").sort("customer_id"))
        write(frame.select("customer_id", (totals["last_day"].max() - pl.col("last_day")).dt.total_days().alias("days_since_last_purchase"), "total_transactions", "total_products_purchased", "total_spend",
            (pl.col("total_spend") / pl.col("total_transactions")).alias("average_transaction_value"), "unique_products_purchased",
            ((pl.col("last_day") - pl.col("first_day")).dt.total_days() / (pl.col("n").cast(pl.Int64) - 1)).alias("average_days_between_purchases"), "day_of_week", "hour",
            (pl.col("country") == "United Kingdom").cast(pl.Int32).alias("is_uk"), "cancellation_frequency", (pl.col("cancellation_frequency") / pl.col("total_transactions")).alias("cancellation_rate"),
            (pl.col("cancellation_frequency") / pl.col("same_place")).alias("cancellation_rate_original"), "monthly_spending_mean", "monthly_spending_std", "spending_trend").collect(), "segments_features")


# --- pandas ---------------------------------------------------------------------------------------------------------

def pandas_job(job, data, out):
    import numpy as np, pandas as pd
    kinds = {"INT": "Int32", "BIGINT": "Int64", "DOUBLE": "float64", "DECIMAL(10,2)": "float64"}
    def write(frame, table):
        frame.to_parquet(f"{out}/{table}.parquet", compression="zstd", index=False)
        return frame
    if job == "wide":
        def read(name):
            file, types = INPUTS[name]
            path = f"{data}/olist/{file}.csv"
            times = [c for c, t in types.items() if t == "TIMESTAMP"]
            return pd.read_csv(path, encoding="utf-8-sig", dtype={c: kinds.get(types.get(c), "str") for c in columns(path) if c not in times},
                               parse_dates=times, date_format="%Y-%m-%d %H:%M:%S", keep_default_na=False, na_values=[""])
        orders = read("orders")
        bought, approved, carrier, delivered, estimated = TIMES
        median = lambda a, b: int((orders[b] - orders[a]).dt.total_seconds().median())
        gaps = dict(approved_s=median(bought, approved), carrier_s=median(approved, carrier), delivered_s=median(carrier, delivered))
        write(pd.DataFrame([gaps]), "order_gaps")
        zips = write(read("geolocation").drop_duplicates().groupby("geolocation_zip_code_prefix").agg(latitude=("geolocation_lat", "mean"), longitude=("geolocation_lng", "mean"),
            points=("geolocation_lat", "size")).reset_index().rename(columns={"geolocation_zip_code_prefix": "zip_code_prefix"}), "zip_locations")
        gap = {n: pd.Timedelta(seconds=s) for n, s in gaps.items()}
        for c, n in [(approved, "approved_at"), (carrier, "carrier_at"), (delivered, "delivered_at")]:
            orders[n + "_filled"] = orders[c].isna()
        orders["approved_at"] = orders[approved].fillna(orders[bought] + gap["approved_s"])
        orders["carrier_at"] = orders[carrier].fillna(orders["approved_at"] + gap["carrier_s"])
        orders["delivered_at"] = orders[delivered].fillna(orders["carrier_at"] + gap["delivered_s"])
        products = read("products")
        sizes = ["product_weight_g", "product_length_cm", "product_height_cm", "product_width_cm"]
        products["product_size_filled"] = products[sizes].isna().any(axis=1)
        for c in sizes:
            values = products[c].astype("float64")
            products[c] = values.fillna(values.mean())
        place = lambda who: zips[["zip_code_prefix", "latitude", "longitude"]].rename(columns={"zip_code_prefix": f"{who}_zip_code_prefix", "latitude": f"{who}_latitude", "longitude": f"{who}_longitude"})
        # pandas joins nulls to nulls; SQL does not.
        w = (orders.merge(read("items"), on="order_id", how="left").merge(read("payments"), on="order_id").merge(read("reviews"), on="order_id").dropna(subset="product_id")
             .merge(products, on="product_id").merge(read("customers"), on="customer_id").merge(read("sellers"), on="seller_id").dropna(subset="product_category_name")
             .merge(read("translation"), on="product_category_name").merge(place("customer"), on="customer_zip_code_prefix", how="left").merge(place("seller"), on="seller_zip_code_prefix", how="left"))
        w = w.rename(columns={bought: "purchased_at", estimated: "estimated_delivery_at", "shipping_limit_date": "shipping_limit_at", "price": "price_brl", "freight_value": "freight_brl",
            "payment_value": "payment_brl", "review_creation_date": "review_created_at", "review_answer_timestamp": "review_answered_at",
            "product_name_lenght": "product_name_length_chars", "product_description_lenght": "product_description_length_chars"}).drop(columns=[approved, carrier, delivered])
        hours = lambda a, b: (w[a] - w[b]).dt.total_seconds() / 3600
        w["order_process_time_hours"] = hours("delivered_at", "purchased_at")
        w["order_delivery_time_hours"] = hours("delivered_at", "carrier_at")
        w["order_time_accuracy_hours"] = hours("estimated_delivery_at", "delivered_at")
        w["order_approved_time_hours"] = hours("approved_at", "purchased_at")
        w["review_send_time_hours"] = hours("review_created_at", "delivered_at")
        w["review_answer_time_hours"] = hours("review_answered_at", "review_created_at")
        w["product_volume_cm3"] = w.product_length_cm * w.product_height_cm * w.product_width_cm
        a, b, c, d = (np.radians(w[x]) for x in ["seller_latitude", "seller_longitude", "customer_latitude", "customer_longitude"])
        w["seller_customer_distance_km"] = 2 * KM * np.arcsin(np.minimum(1, np.sqrt(np.sin((c - a) / 2) ** 2 + np.cos(a) * np.cos(c) * np.sin((d - b) / 2) ** 2)))
        write(w, "wide")
    else:
        path = f"{data}/online_retail/data.csv"
        l = pd.read_csv(path, encoding="cp1252", dtype={c: kinds.get(LINE_TYPES.get(c), "str") for c in columns(path)}, keep_default_na=False, na_values=[""])
        l.columns = ["invoice_no", "stock_code", "description", "quantity", "invoiced_at", "unit_price", "customer_id", "country"]
        l["invoiced_at"] = pd.to_datetime(l.invoiced_at, format="%m/%d/%Y %H:%M")
        l.insert(0, "line", range(1, len(l) + 1))
        write(l, "lines")
        k = l.dropna(subset=["customer_id", "description"]).drop_duplicates(["invoice_no", "stock_code", "description", "customer_id", "quantity"])
        k = k[k.stock_code.str.contains("[0-9].*[0-9]") & ~k.description.isin(["Next Day Carriage", "High Resolution Image"]) & (k.unit_price > 0)].copy()
        k["cancelled"] = k.invoice_no.str.startswith("C")
        write(k, "segments_lines")
        k["day"], k["spent"] = k.invoiced_at.dt.normalize(), k.quantity.astype("float64") * k.unit_price
        k["month"], k["day_of_week"], k["hour"] = k.invoiced_at.dt.to_period("M"), k.invoiced_at.dt.dayofweek, k.invoiced_at.dt.hour
        g = k.groupby("customer_id")
        t = pd.DataFrame(dict(n=g.size(), first_day=g.day.min(), last_day=g.day.max(), total_transactions=g.invoice_no.nunique(), total_products_purchased=g.quantity.sum(),
            total_spend=g.spent.sum(), unique_products_purchased=g.stock_code.nunique()))
        t["cancellation_frequency"] = k[k.cancelled].groupby("customer_id").invoice_no.nunique().reindex(t.index).fillna(0)
        c = t[t.n > 1].copy()
        c["cancellation_rate"] = c.cancellation_frequency / c.total_transactions
        c["cancellation_rate_original"] = c.cancellation_frequency / t.total_transactions.to_numpy()[: len(c)]
        c["days_since_last_purchase"] = (t.last_day.max() - c.last_day).dt.days
        c["average_transaction_value"] = c.total_spend / c.total_transactions
        c["average_days_between_purchases"] = (c.last_day - c.first_day).dt.days / (c.n - 1)
        for name in ["day_of_week", "hour", "country"]:
            counts = k.groupby(["customer_id", name]).size().rename("n").reset_index().sort_values(["customer_id", "n", name], ascending=[True, False, True])
            c[name] = counts.drop_duplicates("customer_id").set_index("customer_id")[name]
        c["is_uk"] = (c.country == "United Kingdom").astype("int32")
        m = k.groupby(["customer_id", "month"]).spent.sum()
        by = m.groupby("customer_id")
        c["monthly_spending_mean"], c["monthly_spending_std"] = by.mean(), by.std().fillna(0)
        x = by.cumcount().astype("float64")
        dx, dy = x - x.groupby("customer_id").transform("mean"), m - by.transform("mean")
        c["spending_trend"] = ((dx * dy).groupby("customer_id").sum() / (dx * dx).groupby("customer_id").sum()).fillna(0)
        write(c.drop(columns=["n", "first_day", "last_day", "country"]).reset_index().sort_values("customer_id"), "segments_features")


# --- running and comparing ------------------------------------------------------------------------------------------

def tidemill_command(binary, job, out):
    name = JOBS[job][0].replace("_", "-")
    return [binary, "--lake", f"{out}/lake", "--project", ROOT, "run", name, "--select", f"+{job}", "--force"]


def family(pid):
    """The processes that a process has started, and theirs."""
    found = []
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            children = [int(child) for child in open(path).read().split()]
        except OSError:
            continue
        found += children + [one for child in children for one in family(child)]
    return found


def watch(pid, seen, done):
    """Keeps CPU seconds and peak memory (MB) of the process's family as last seen: Spark's JVM is not waited for."""
    tick = os.sysconf("SC_CLK_TCK")
    while not done.wait(0.1):
        for child in family(pid):
            try:
                stat = open(f"/proc/{child}/stat").read().rsplit(")", 1)[1].split()
                peak = re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{child}/status").read())
                seen[child] = ((int(stat[11]) + int(stat[12])) / tick, int(peak.group(1)) / 1024 if peak else 0)
            except (OSError, IndexError):
                continue


def measured(command, env):
    """Wall and CPU seconds of a process with its family, and the peak memory (MB) of the largest of them."""
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        seen, done = {}, threading.Event()
        watcher = threading.Thread(target=watch, args=(process.pid, seen, done))
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        done.set()
        watcher.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            log.seek(0)
            sys.exit(f"{' '.join(command)} failed:\n{log.read().decode(errors='replace')[-4000:]}")
    cpu = usage.ru_utime + usage.ru_stime + sum(s for s, _ in seen.values())
    return dict(wall=wall, cpu=cpu, mb=max([usage.ru_maxrss / 1024] + [mb for _, mb in seen.values()]))


def parquet_of(engine, job, out):
    if engine == "tidemill":
        files = [f for f in glob.glob(f"{out}/lake/{JOBS[job][0]}/{job}/**/*.parquet", recursive=True) if "/." not in f]
        return files
    return glob.glob(f"{out}/{job}.parquet/*.parquet") or [f"{out}/{job}.parquet"]


def compared(job, engine, files, reference):
    # In a process of its own: what this one holds would count as the peak of those that it starts.
    answer = subprocess.run([sys.executable, __file__, "compare", job, engine, json.dumps([files, reference])], capture_output=True, text=True)
    return answer.stdout.strip() or answer.stderr[-2000:]


def difference(job, engine, files, reference):
    """What differs from DuckDB's table, if anything."""
    import numpy as np, pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq
    def load(paths):
        table = pa.concat_tables([pq.read_table(p) for p in paths])
        cast = []
        for field, column in zip(table.schema, table.columns):
            if pa.types.is_timestamp(field.type):
                column = column.cast(pa.timestamp("us")).cast(pa.int64())
            elif pa.types.is_decimal(field.type) or pa.types.is_integer(field.type):
                column = column.cast(pa.float64())
            elif not (pa.types.is_floating(field.type) or pa.types.is_boolean(field.type)):
                column = column.cast(pa.string())
                if engine == "spark":
                    column = pc.replace_substring(column, "\r\n", "\n")
            cast.append(column)
        table = pa.table(cast, names=table.column_names)
        return table.sort_by([(k, "ascending") for k in JOBS[job][3]])
    theirs, ours = load(files), load(reference)
    missing = set(ours.column_names) - set(theirs.column_names)
    if missing:
        return f"without {sorted(missing)}"
    if theirs.num_rows != ours.num_rows:
        return f"{theirs.num_rows} rows, not {ours.num_rows}"
    for name in ours.column_names:
        a, b = theirs[name].combine_chunks(), ours[name].combine_chunks()
        if pa.types.is_floating(b.type):
            a, b = (np.nan_to_num(x.cast(pa.float64()).to_numpy(zero_copy_only=False), nan=-1e300) for x in (a, b))
            wrong = ~np.isclose(a, b, rtol=1e-9, atol=1e-9)
        elif pa.types.is_integer(b.type):
            a, b = (x.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False) for x in (a, b))
            wrong = a != b
        else:
            a, b = (x.cast(pa.string()).fill_null("\0").to_numpy(zero_copy_only=False) for x in (a, b))
            wrong = a != b
        if wrong.any():
            row = int(np.argmax(wrong))
            return f"{int(wrong.sum())} cells of {name}, such as {a[row]!r} for {b[row]!r}"
    return "equal DuckDB's"


def unpacked(source, folder, target):
    """The CSV files of a folder, plain."""
    os.makedirs(f"{target}/{folder}")
    for path in sorted(glob.glob(f"{source}/{folder}/*.csv") + glob.glob(f"{source}/{folder}/*.csv.gz")):
        place = f"{target}/{folder}/{os.path.basename(path).removesuffix('.gz')}"
        with (gzip.open if path.endswith(".gz") else open)(path, "rb") as packed, open(place, "wb") as plain:
            shutil.copyfileobj(packed, plain)


def spread(values, digits=2):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default=os.environ.get("TIDEMILL_DATA"), required="TIDEMILL_DATA" not in os.environ)
    parser.add_argument("--tidemill", default=f"{ROOT}/target/release/tidemill")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--jobs", default=",".join(JOBS))
    args = parser.parse_args()
    engines = args.engines.split(",")
    work = tempfile.mkdtemp(prefix="tidemill-peers-")
    try:
        data = f"{work}/data"
        for folder in {JOBS[job][0] for job in args.jobs.split(",")}:
            unpacked(args.data, folder, data)
        env = {**os.environ, "TIDEMILL_DATA": data, "POLARS_MAX_THREADS": THREADS, "OMP_NUM_THREADS": THREADS, "TOKIO_WORKER_THREADS": THREADS}
        for job in args.jobs.split(","):
            figures, tables = {engine: [] for engine in engines}, {}
            for number in range(args.rounds):
                for engine in engines:
                    out = f"{work}/{job}-{engine}"
                    shutil.rmtree(out, ignore_errors=True)
                    os.makedirs(out)
                    command = [sys.executable, __file__, "worker", engine, job, data, out]
                    if engine == "tidemill":
                        command = tidemill_command(os.path.abspath(args.tidemill), job, out)
                    figures[engine].append(measured(command, env))
                    tables[engine] = parquet_of(engine, job, out)
            print(f"\n{job}, {args.rounds} rounds, {THREADS} threads: median (least to most)")
            print(f"{'':9} {'wall s':24} {'CPU s':24} {'peak MB':>8}  {'tidemill / it, wall':24} rows")
            for engine in engines:
                of = figures[engine]
                ratio = ""
                if "tidemill" in engines and engine != "tidemill":
                    ratio = spread([ours["wall"] / theirs["wall"] for ours, theirs in zip(figures["tidemill"], of)], 3)
                same = "reference"
                if engine != "duckdb":
                    same = compared(job, engine, tables[engine], tables["duckdb"]) if "duckdb" in tables else ""
                print(f"{engine:9} {spread([f['wall'] for f in of]):24} {spread([f['cpu'] for f in of]):24} {max(f['mb'] for f in of):8.0f}  {ratio:24} {same}", flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        engine, job, data, out = sys.argv[2:6]
        {"duckdb": duckdb_job, "spark": spark_job, "polars": polars_job, "pandas": pandas_job}[engine](job, data, out)
    elif sys.argv[1:2] == ["compare"]:
        print(difference(sys.argv[2], sys.argv[3], *json.loads(sys.argv[4])))
    else:
        main()
