"""Expressions of a type over a scope: scalars, subqueries, aggregates, windows."""
import re

from tree import NULLS, PLAIN, SCALARS, Node, Opt, Seq


class Scope:
    """What an expression may use: columns as (reference, type), aggregates or windows over other columns."""

    def __init__(self, columns, outer=(), over=None, windows=False, grouping=()):
        self.columns, self.outer, self.over, self.windows, self.grouping = list(columns), list(outer), over, windows, list(grouping)

    def of(self, type):
        return [r for r, t in self.columns if t == type]


def tailed(template, tail):
    """FILTER or OVER behind an aggregate, inside the CAST, NULLIF or round around it."""
    if template is None:
        return None
    place = re.search(r"(?<=\))(?= AS (BIGINT|DECIMAL)|, 'nan'\)|, 6\)$)|$", template).start()
    return template[:place] + tail + template[place:]


class Expressions:
    """Draws expressions; the statements around them are of `Grammar`, which has the random numbers."""

    def literal(self, type):
        if self.chance(0.12):
            return Node(type, NULLS[type])
        text = self.rng.choice({
            "int": ["0", "1", "2", "3", "7", "(-1)", "100"], "dbl": ["0e0", "1e0", "1.5e0", "(-2.25e0)", "2e0", "CAST('NaN' AS DOUBLE)"],
            "dec": [f"CAST('{v}' AS DECIMAL(10,2))" for v in ("0.00", "1.00", "1.50", "-2.25", "0.01", "3.33")],
            "text": ["''", "'a'", "'b'", "'ab'", "'é'", "'1'", "'B'"], "bool": ["TRUE", "FALSE"],
            "date": [f"DATE '{v}'" for v in ("2024-02-29", "2024-01-31", "2023-12-31", "1969-12-31", "2000-01-01")],
            "ts": [f"TIMESTAMP '{v}'" for v in ("2024-02-29 23:59:59.999999", "2024-01-31 00:00:00", "2023-12-31 12:30:00", "1969-12-31 23:00:00.5")],
        }[type])
        return Node(type, text)

    def leaf(self, type, scope, depth):
        if scope.over is not None and self.chance(0.65):
            return self.aggregate(type, scope.over, depth)
        if scope.windows and self.chance(0.5):
            return self.window(type, scope, depth)
        if scope.grouping and type == "int" and self.chance(0.3):
            return Node("int", f"grouping({self.rng.choice(scope.grouping)})")
        keys = [k for k, t in getattr(scope, "keys", []) if t == type]
        if keys and self.chance(0.6):
            return self.rng.choice(keys)
        columns = scope.of(type)
        outer = [r for r, t in scope.outer if t == type]
        if outer and self.chance(0.3):
            return Node(type, self.rng.choice(outer))
        if columns and self.chance(0.85):
            return Node(type, self.rng.choice(columns))
        if outer and self.chance(0.3):
            return Node(type, self.rng.choice(outer))
        return self.literal(type)

    def expr(self, type, scope, depth):
        if depth <= 0 or self.chance(0.3):
            return self.leaf(type, scope, depth)
        e = lambda t: self.expr(t, scope, depth - 1)
        if type == "bool":
            return self.condition_of(scope, depth, e)
        common = [
            (1, lambda: Node(type, "CASE WHEN {0} THEN {1} ELSE {2} END", e("bool"), e(type), e(type))),
            (0.4, lambda: Node(type, "CASE {0} WHEN {1} THEN {2} WHEN {3} THEN {4} END", *(lambda t: (e(t), self.literal(t), e(type), e(t), e(type)))(self.rng.choice(["int", "text", "date"])))),
            (1, lambda: Node(type, "COALESCE({0}, {1})", e(type), e(type))),
            (0.6, lambda: Node(type, "NULLIF({0}, {1})", e(type), e(type))),
            (0.3, lambda: Node(type, self.rng.choice(["greatest", "least"]) + "({0}, {1})", e(type), e(type))),
            (1.2 if depth > 1 else 0.2, lambda: self.scalar_subquery(type, scope, depth)),
        ]
        return self.pick(*common, *getattr(self, "make_" + type)(e))

    def make_int(self, e):
        # DuckDB's part of a constant null is a DOUBLE.
        whole = lambda part, of: Node("int", part, of, duck=f"CAST({part} AS BIGINT)")
        field = lambda: self.rng.choice(["year", "month", "day", "dow", "doy", "quarter", "week", "hour", "minute"])
        return [
            (2, lambda: Node("int", "({0} " + self.rng.choice("+-*") + " {1})", e("int"), e("int"))),
            (0.5, lambda: Node("int", "({0} / NULLIF({1}, 0))", e("int"), e("int"), duck="({0} // NULLIF({1}, 0))")),
            (0.5, lambda: Node("int", "({0} % NULLIF({1}, 0))", e("int"), e("int"))),
            (0.3, lambda: Node("int", "(- {0})", e("int"))), (0.3, lambda: Node("int", "abs({0})", e("int"))),
            (0.6, lambda: Node("int", "character_length({0})", e("text"), duck="length({0})")),
            (0.2, lambda: Node("int", "strpos({0}, {1})", e("text"), e("text"))),
            (0.5, lambda: Node("int", "CAST({0} AS BIGINT)", e("dbl"), duck="CAST(trunc({0}) AS BIGINT)")),
            (0.2, lambda: Node("int", "CAST({0} AS INT)", e("bool"))),
            (0.3, lambda: Node("int", self.rng.choice(["CAST({0} AS BIGINT)", "CAST({0} AS INT)", "CAST({0} AS SMALLINT)"]), e("int"))),
            (0.3, lambda: Node("int", "CAST({0} AS BIGINT)", e("dec"), duck="CAST(trunc({0}) AS BIGINT)")),
            (0.3, lambda: Node("int", "TRY_CAST({0} AS INT)", e("text"), duck="CASE WHEN regexp_full_match({0}, ' *[-+]?[0-9]+ *') THEN TRY_CAST({0} AS INT) END")),
            (0.8, lambda: whole("EXTRACT(" + field() + " FROM {0})", e("ts"))),
            (0.5, lambda: whole("EXTRACT(" + self.rng.choice(["year", "month", "day", "dow", "doy", "quarter", "week"]) + " FROM {0})", e("date"))),
            (0.4, lambda: Node("int", "({0} - {1})", e("date"), e("date"))),
            (0.3, lambda: Node("int", "(CAST({0} AS BIGINT) " + self.rng.choice(["&", "|"]) + " CAST({1} AS BIGINT))", e("int"), e("int"))),
            (0.2, lambda: whole("EXTRACT(" + self.rng.choice(["second", "millisecond", "microsecond"]) + " FROM {0})", e("ts"))),
            (0.2, lambda: whole("date_part('isodow', {0})", e("date"))), (0.1, lambda: Node("int", "ascii({0})", e("text"))),
        ]

    def make_dbl(self, e):
        return [
            (2, lambda: Node("dbl", "({0} " + self.rng.choice("+-*") + " {1})", e("dbl"), e("dbl"))),
            # Zero has no sign here.
            (0.8, lambda: Node("dbl", "({0} / {1})", e("dbl"), e("dbl"), duck="({0} / ({1} + 0e0))")),
            (0.5, lambda: Node("dbl", "({0} " + self.rng.choice("+-*") + " {1})", e("dbl"), e("int"))),
            (0.3, lambda: Node("dbl", "({0} " + self.rng.choice("+-*") + " {1})", e("dec"), e("dbl"))),
            (0.2, lambda: Node("dbl", f"({{0}} / {self.rng.choice(['0.07', '1.5', '(-0.25)'])})", e("dec"))),
            (0.4, lambda: Node("dbl", self.rng.choice(["abs", "floor", "ceil", "round"]) + "({0})", e("dbl"))),
            (0.2, lambda: Node("dbl", "sqrt(abs({0}))", e("dbl"))),
            (0.2, lambda: Node("dbl", "(- {0})", e("dbl"))),
            (0.5, lambda: Node("dbl", "CAST({0} AS DOUBLE)", e(self.rng.choice(["int", "dec"])))),
            (0.2, lambda: Node("dbl", "TRY_CAST({0} AS DOUBLE)", e("text"))),
            (0.2, lambda: Node("dbl", "EXTRACT(epoch FROM {0})", e(self.rng.choice(["ts", "date"])))),
            (0.2, lambda: Node("dbl", "EXTRACT(epoch FROM ({0} - {1}))", e("ts"), e("ts"))),
            (0.2, lambda: Node("dbl", self.rng.choice(["round", "trunc"]) + "({0}, 1)", e("dbl"))),
            (0.2, lambda: Node("dbl", "power({0}, 2)", e("dbl"))), (0.2, lambda: Node("dbl", "ln(abs({0}) + 1)", e("dbl"))),
        ]

    def make_dec(self, e):
        return [
            (2, lambda: Node("dec", "({0} " + self.rng.choice("+-") + " {1})", e("dec"), e("dec"))),
            (0.5, lambda: Node("dec", "({0} * {1})", e("dec"), e("dec"))),
            (0.4, lambda: Node("dec", "({0} " + self.rng.choice("+-*") + " {1})", e("dec"), e("int"))),
            # A number with a point beside a decimal is one.
            (0.6, lambda: Node("dec", "({0} " + self.rng.choice("+-*") + f" {self.rng.choice(['0.07', '1.19', '0.5', '(-0.25)', '100.0', '(1 - 0.07)'])})", e("dec"))),
            (0.2, lambda: Node("dec", "({0} % " + self.rng.choice(["0.5", "0.07", "1.5"]) + ")", e("dec"))),
            (0.3, lambda: Node("dec", "abs({0})", e("dec"))), (0.2, lambda: Node("dec", "(- {0})", e("dec"))),
            (0.3, lambda: Node("dec", "CAST({0} AS DECIMAL(12,1))", e("dec"))),
            (0.4, lambda: Node("dec", "CAST({0} AS DECIMAL(10,2))", e(self.rng.choice(["int", "dec"])))),
            (0.2, lambda: Node("dec", "({0} % NULLIF({1}, 0))", e("dec"), e("dec"))),
            (0.3, lambda: Node("dec", "CAST(round({0}, 1) AS DECIMAL(20,2))", e("dec"))), (0.2, lambda: Node("dec", "TRY_CAST({0} AS DECIMAL(10,2))", e("text"))),
            (0.2, lambda: Node("dec", "CAST(" + self.rng.choice(["floor", "ceil"]) + "({0}) AS DECIMAL(20,2))", e("dec"))),
        ]

    def make_text(self, e):
        return [
            (1.5, lambda: Node("text", "({0} || {1})", e("text"), e("text"))),
            (0.4, lambda: Node("text", "concat({0}, {1})", e("text"), e("text"))),
            (0.45, lambda: Node("text", self.rng.choice(["lower", "trim", "reverse"]) + "({0})", e("text"))),
            # DuckDB makes one letter of one.
            (0.15, lambda: Node("text", "upper({0})", e("text"), duck="replace(upper({0}), 'ﬁ', 'FI')")),
            (0.4, lambda: Node("text", f"substr({{0}}, {self.rng.choice([1, 2, 3])}" + self.rng.choice(["", ", 0", ", 1", ", 2"]) + ")", e("text"))),
            (0.3, lambda: Node("text", "replace({0}, {1}, {2})", e("text"), e("text"), e("text"))),
            (0.3, lambda: Node("text", f"{self.rng.choice(['left', 'right'])}({{0}}, {self.rng.choice([0, 1, 2])})", e("text"))),
            (0.6, lambda: Node("text", "CAST({0} AS VARCHAR)", e(self.rng.choice(["int", "bool", "date"])))),
            (0.2, lambda: Node("text", "split_part({0}, ' ', 1)", e("text"))),
            (0.3, lambda: Node("text", self.rng.choice(["lpad", "rpad"]) + "({0}, 3, 'x')", e("text"))),
            (0.2, lambda: Node("text", "repeat({0}, 2)", e("text"))), (0.2, lambda: Node("text", "translate({0}, 'ab', 'x')", e("text"))),
            (0.3, lambda: Node("text", "concat_ws('-', {0}, {1})", e("text"), e("text"))),
            (0.2, lambda: Node("text", self.rng.choice(["left", "right"]) + "({0}, -1)", e("text"))),
            (0.2, lambda: Node("text", self.rng.choice(["ltrim", "rtrim"]) + "({0}, 'ab')", e("text"))),
            (0.2, lambda: Node("text", "regexp_replace({0}, '[ab]', '<>', 'g')", e("text"))),
            (0.2, lambda: Node("text", "CAST(CAST({0} AS DECIMAL(20,6)) AS VARCHAR)", e("dec"))),
        ]

    def make_date(self, e):
        return [
            (1, lambda: Node("date", "CAST({0} AS DATE)", e("ts"))),
            (0.8, lambda: Node("date", "CAST(({0} " + self.rng.choice("+-") + f" INTERVAL '{self.span(True)}') AS DATE)", e("date"))),
            (0.4, lambda: Node("date", "({0} " + self.rng.choice("+-") + " 1)", e("date"))),
            (0.4, lambda: Node("date", f"CAST(date_trunc('{self.rng.choice(['year', 'quarter', 'month', 'week', 'day'])}', {{0}}) AS DATE)", e("date"))),
            (0.2, lambda: Node("date", "TRY_CAST({0} AS DATE)", e("text"))),
        ]

    def span(self, days=False):
        return self.rng.choice(["1 day", "1 month", "7 days", "1 year", "3 months", "30 days"] + ([] if days else ["1 hour", "90 minutes", "1 second", "36 hours"]))

    def make_ts(self, e):
        return [
            (1, lambda: Node("ts", "CAST({0} AS TIMESTAMP)", e("date"))),
            (1.5, lambda: Node("ts", "({0} " + self.rng.choice("+-") + f" INTERVAL '{self.span()}')", e("ts"))),
            (1, lambda: Node("ts", f"date_trunc('{self.rng.choice(['year', 'quarter', 'month', 'week', 'day', 'hour', 'minute', 'second'])}', {{0}})", e("ts"))),
            (0.3, lambda: Node("ts", "CAST(({0} " + self.rng.choice("+-") + f" INTERVAL '{self.span()}') AS TIMESTAMP)", e("date"))),
        ]

    def condition_of(self, scope, depth, e):
        kinds = ["int", "int", "dbl", "dec", "text", "date", "ts", "bool"]
        compare = lambda: self.rng.choice(["=", "=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"])
        def plainly(type):
            columns = scope.of(type)
            return Node(type, self.rng.choice(columns)) if columns and scope.over is None else Node(type, PLAIN[type])
        def two(a, b):
            return Node("bool", "({0} " + compare() + " {1})", e(a), e(b))
        def same():
            t = self.rng.choice(kinds)
            return two(t, t)
        def between():
            t = self.rng.choice(kinds[:-1])
            return Node("bool", "({0} " + self.rng.choice(["", "NOT "]) + "BETWEEN {1} AND {2})", e(t), e(t), e(t))
        def in_list():
            t = self.rng.choice(kinds[:-1])
            return Node("bool", "({0} " + self.rng.choice(["", "NOT "]) + "IN ({1}))", e(t), Seq(", ", [self.literal(t) if self.chance(0.7) else e(t) for _ in range(self.rng.choice([1, 2, 3, 5]))]))
        def span():
            return Node("bool", f"(({{0}} - {{1}}) {self.rng.choice(['<', '<=', '>', '>=', '='])} INTERVAL '{self.span()}')", e("ts"), e("ts"))
        return self.pick(
            (4, same), (0.6, lambda: two(*self.rng.choice([("int", "dbl"), ("int", "dec"), ("dec", "dbl"), ("date", "ts")]))),
            (1, lambda: Node("bool", "({0} IS " + self.rng.choice(["", "NOT "]) + "NULL)", e(self.rng.choice(kinds)))),
            (0.4, lambda: Node("bool", "({0} IS " + self.rng.choice(["TRUE", "FALSE", "NOT TRUE", "NOT FALSE"]) + ")", e("bool"))),
            (1.5, lambda: Node("bool", "({0} " + self.rng.choice(["AND", "OR"]) + " {1})", e("bool"), e("bool"))),
            (0.8, lambda: Node("bool", "(NOT {0})", e("bool"))), (0.8, between), (0.8, in_list),
            (0.6, lambda: Node("bool", "({0} " + self.rng.choice(["LIKE", "NOT LIKE", "ILIKE"]) + " " + self.rng.choice(["'a%'", "'%b'", "'_'", "'%'", "''", "'%a%'", "'a_b'", "'%_'"]) + ")", e("text"))),
            (0.2, lambda: Node("bool", "(({0}, {1}) " + self.rng.choice(["IN", "NOT IN"]) + " (({2}, {3}), ({4}, {5})))", plainly("int"), plainly("text"),
                               plainly("int"), self.literal("text"), self.literal("int"), plainly("text"))),
            (0.2, lambda: Node("bool", "(({0}, {1}) " + self.rng.choice(["<", "<=", ">", ">="]) + " ({2}, {3}))", plainly("int"), plainly("text"), plainly("int"), self.literal("text"))),
            (0.2, lambda: Node("bool", "({0} " + self.rng.choice(["LIKE", "NOT LIKE"]) + " " + self.rng.choice(["'%$%y%'", "'x$%y$_z'", "'%$_%'"]) + " ESCAPE '$')", e("text"))),
            (0.2, lambda: Node("bool", "regexp_like({0}, '^[ab]')", e("text"), duck="regexp_matches({0}, '^[ab]')")),
            (0.4, span), (0.3, lambda: Node("bool", "starts_with({0}, {1})", e("text"), e("text"))),
            (0.5 if scope.of("int") and scope.over is None else 0, lambda: self.guarded(scope, depth, e)),
            (2 if depth > 1 else 0.3, lambda: self.subquery_test(scope, depth)))

    def guarded(self, scope, depth, e):
        """A division by a column, beside what keeps it from being computed where that is 0."""
        column = self.rng.choice(scope.of("int"))
        divided = f"(12 / {column})"
        duck = f"(12 // NULLIF({column}, 0))"
        kind = self.rng.choice(["number", "number", "in", "exists", "value"] if depth > 0 else ["number"])
        if kind == "number":
            rest, children = "{0} " + self.rng.choice(["=", "<", ">="]) + " ({1})", [e("int")]
        else:
            table, columns = self.rng.choice(self.base)
            name = self.fresh("t")
            numbers = [n for n, t in columns if t == "int"]
            read = f"{name}.{self.rng.choice(numbers)}"
            if kind == "in":
                rest = f"{{0}} {self.rng.choice(['IN', 'NOT IN'])} (SELECT {read} AS v FROM {table} AS {name})"
            elif kind == "exists":
                rest = f"{self.rng.choice(['', 'NOT '])}EXISTS (SELECT 1 AS v FROM {table} AS {name} WHERE {read} = {{0}})"
            else:
                rest = f"(SELECT max({name}.{self.rng.choice(numbers)}) AS v FROM {table} AS {name} WHERE {read} = {{0}}) {self.rng.choice(['> 1', 'IS NULL'])}"
            children = []
        form = self.rng.choice(["({c} <> 0 AND {r})", "({r} AND {c} <> 0)", "({c} = 0 OR {r})", "({r} OR {c} = 0)", "(CASE WHEN {c} = 0 THEN TRUE ELSE {r} END)",
                                "(CASE WHEN {c} <> 0 THEN {r} END)", "({c} * {c} <> 0 AND {r})"])
        made = lambda by: form.format(c=column, r=rest.replace("{0}", by).replace("{1}", "{0}"))
        return Node("bool", made(divided), *children, duck=made(duck))

    # --- subqueries, aggregates, windows ------------------------------------------------------------------------

    def seen(self, scope):
        """What a subquery sees of the statement around it: nothing (then it is not correlated) or its columns."""
        if scope.over is not None or self.chance(0.5):
            return []
        return self.rng.sample(scope.columns, min(2, len(scope.columns)))

    def correlated(self, outer, depth, types):
        """A select over one relation, with an equality to the outer columns where there are any."""
        source, columns = self.relation([], depth - 1) if self.chance(0.7) else self.source([], depth - 1)
        scope = Scope(columns, [] if self.chance(0.6) else outer)
        tests = [Node("bool", f"{r} {self.rng.choice(['=', '=', '=', '<', '<>'])} {o}") for o, t in outer for r, u in columns if t == u]
        parts = self.rng.sample(tests, min(len(tests), self.rng.choice([1, 1, 2])))
        if self.chance(0.4) or not parts:
            parts.append(self.expr("bool", scope, depth - 1))
        return source, scope, Opt(" WHERE {0}", Node("bool", "({0})", Seq(" AND ", parts)))

    def of_one_row(self, scope, p, outer=()):
        """A HAVING without groups: it decides whether the one row is there, with the row around it or without."""
        if not self.chance(p):
            return Node("gone", "")
        around = [form.format(o=o) for o, t in outer if t == "int" for form in ("count(*) > {o}", "(count(*) <> {o} OR {{0}} IS NULL)", "({o} > 0)")]
        return Opt(" HAVING {0}", Node("bool", self.rng.choice(around + ["count(*) > 1", "count(*) < 2", "count(*) = 0", "count(*) >= 0", "({0} IS NULL OR count(*) > 1)", "({0} IS NOT NULL)"]),
                                       self.aggregate("int", Scope(scope.columns), 0)))

    def scalar_subquery(self, type, scope, depth):
        outer = self.seen(scope)
        if outer:
            source, inner, where = self.correlated(outer, depth - 1, [type])
            return Node(type, "(SELECT {0} FROM {1}{2}{3})", self.aggregate(type, Scope(inner.columns), depth - 1), source, where, self.of_one_row(inner, 0.15, outer))
        if self.chance(0.6):
            source, columns = self.source([], depth - 2)
            return Node(type, "(SELECT {0} FROM {1}{2})", self.aggregate(type, Scope(columns), depth - 1), source, self.where(Scope(columns), depth - 2))
        source, columns = self.source([], depth - 2)
        item = self.expr(type, Scope(columns), depth - 2)
        return Node(type, "(SELECT {0} AS v FROM {1}{2} ORDER BY 1 " + self.direction() + " LIMIT 1)", item, source, self.where(Scope(columns), depth - 2))

    def subquery_test(self, scope, depth):
        outer = self.seen(scope)
        type = self.rng.choice(SCALARS)
        if outer:
            source, inner, where = self.correlated(outer, depth - 1, [type])
            item = self.aggregate(type, Scope(inner.columns), 0) if self.chance(0.15) else self.expr(type, Scope(inner.columns), depth - 2)
            tail = self.rng.choice([""] * 12 + [" OFFSET 1", " LIMIT 1"])
            if self.chance(0.08) and inner.columns:
                tail = f" GROUP BY {self.rng.choice(['', 'ROLLUP '])}({inner.columns[0][0]})"
                item = Node(type, PLAIN[type])
            elif self.chance(0.05):
                item = self.rng.choice([self.aggregate(type, Scope(inner.columns), 0), Node(type, PLAIN[type])])
                query = Node("query", "SELECT {0} AS v FROM {1}{2}{3}", item, source, where, self.of_one_row(inner, 1, outer))
                return self.tested(query, scope, type)
            query = Node("query", "SELECT {0} AS v FROM {1}{2}{3}", item, source, where, Opt(tail))
        else:
            query, _ = self.query([], depth - 2, [type])
        return self.tested(query, scope, type)

    def tested(self, query, scope, type):
        if self.chance(0.4):
            return Node("bool", self.rng.choice(["EXISTS ", "NOT EXISTS "]) + "({0})", query)
        left = self.expr(type, Scope(scope.columns, over=scope.over), 1)
        if self.chance(0.1):
            word = self.rng.choice(["= ANY", "<> ALL", "> ALL", "<= ANY", "< ANY"])
            return Node("bool", "({0} " + word + " ({1}))", left, query)
        return Node("bool", "({0} " + self.rng.choice(["IN", "NOT IN"]) + " ({1}))", left, query)

    def aggregate(self, type, scope, depth):
        """An aggregate over the columns of `scope` with a result of the type."""
        e = lambda t: self.expr(t, Scope(scope.columns, scope.outer), min(depth - 1, 1))
        d = self.rng.choice(["", "", "", "", "DISTINCT "])
        order = lambda: self.total(scope.columns)
        numbers = {
            "int": lambda: self.pick(
                (2, lambda: Node(type, "count(*)")), (2, lambda: Node(type, f"count({d}{{0}})", e(self.rng.choice(SCALARS)))),
                (2, lambda: Node(type, f"sum({d}{{0}})", e("int"), duck=f"CAST(sum({d}{{0}}) AS BIGINT)")), (2, lambda: Node(type, self.rng.choice(["min", "max"]) + "({0})", e("int"))),
                (0.4 if scope.of("int") else 0, lambda: (lambda c, f: Node(type, f"{f}({{0}} / {c}) FILTER (WHERE {c} <> 0)", e("int"), duck=f"{f}({{0}} // NULLIF({c}, 0)) FILTER (WHERE {c} <> 0)"))(self.rng.choice(scope.of("int")), self.rng.choice(["min", "max", "count"]))),
                (0.3, lambda: Node(type, self.rng.choice(["bit_and", "bit_or", "bit_xor"]) + "({0})", e("int"))),
                (0.5 if scope.columns else 0, lambda: (lambda o, w: Node(type, f"{w}_value({{0}} ORDER BY {o})", e("int"), duck=f"{w}({{0}} ORDER BY {o})"))(order(), self.rng.choice(["first", "last"])))),
            "dbl": lambda: self.pick(
                (2, lambda: Node(type, self.rng.choice(["sum", "avg", "min", "max"]) + f"({d}{{0}})", e("dbl"))), (1, lambda: Node(type, f"avg({d}{{0}})", e("int"))),
                (0.8, lambda: Node(type, "round(" + self.rng.choice(["stddev", "var_pop", "stddev_pop", "var_samp"]) + "(CASE WHEN abs({0}) < 1e6 THEN {0} END), 6)", e("dbl"))),
                (0.35, lambda: Node(type, "median({0})", e(self.rng.choice(["dbl", "int"])))),
                # DuckDB's is cut off after the digits of what it is of.
                (0.15, lambda: Node(type, "median({0})", e("dec"), duck="median(CAST({0} AS DECIMAL(28,6)))")),
                # Without NaN, which is the greatest number to DuckDB, and to us makes NaN of all. Rounded, as the last digit decides what trunc and CAST make of it.
                (0.3, lambda: Node(type, "round(quantile(CASE WHEN NOT isnan({0}) THEN {0} END, 0.3), 6)", e(self.rng.choice(["dbl", "int"])), duck="round(quantile_cont(CASE WHEN NOT isnan({0}) THEN {0} END, 0.3), 6)")),
                (0.15, lambda: Node(type, self.rng.choice(["covar_pop", "covar_samp", "regr_count"]) + "({0}, {1})", e("int"), e("int"))),
                # DuckDB divides by the variance of values that are all the same. Rounded as a quantile is.
                (0.05, lambda: Node(type, "round(regr_slope({0}, {1}), 6)", e("int"), e("int"), duck="round(NULLIF(regr_slope({0}, {1}), 'nan'), 6)")),
                (0.3, lambda: Node(type, "CAST(avg({0}) AS DOUBLE)", e("dec"), duck="CAST(CAST(avg({0}) AS DECIMAL(38,6)) AS DOUBLE)")), (0.2, lambda: Node(type, "round(corr({0}, {1}), 6)", e("dbl"), e("dbl"), duck="round(CASE WHEN (regr_sxx({0}, {1}) = 0 OR regr_syy({0}, {1}) = 0) AND bool_and(isfinite({0} - {0} + {1} - {1})) THEN NULL ELSE corr({0}, {1}) END, 6)")),
                (0.3, lambda: Node(type, "percentile_cont(CASE WHEN NOT isnan({0}) THEN {0} END, 0.25)", e("dbl"), duck="quantile_cont(CASE WHEN NOT isnan({0}) THEN {0} END, 0.25)"))),
            # DuckDB's sum is a DECIMAL(38,2), beside which it rounds what has more digits.
            "dec": lambda: self.pick((2, lambda: Node(type, self.rng.choice(["min", "max"]) + "({0})", e("dec"))),
                                     (2, lambda: Node(type, f"sum({d}{{0}})", e("dec"), duck=f"CAST(sum({d}{{0}}) AS DECIMAL(28,6))"))),
            "text": lambda: self.pick(
                (2, lambda: Node(type, self.rng.choice(["min", "max"]) + "({0})", e("text"))),
                (1, lambda: self.gathered(scope, e("text"), f"string_agg({d}{{0}}, '|' ORDER BY {{0}} {self.direction()})")),
                (1 if scope.columns else 0, lambda: Node(type, f"string_agg({{0}}, '|' ORDER BY {order()})", e("text"))),
                (0.5, lambda: self.gathered(scope, e("int"), f"array_to_string(array_agg({d}{{0}} ORDER BY {{0}} {self.direction()}), '|', '~')"))),
            "bool": lambda: Node(type, self.rng.choice(["bool_and", "bool_or", "min", "max"]) + "({0})", e("bool")),
            "date": lambda: Node(type, self.rng.choice(["min", "max"]) + "({0})", e("date")),
            "ts": lambda: Node(type, self.rng.choice(["min", "max"]) + "({0})", e("ts")),
        }
        node = numbers[type]()
        if self.chance(0.12) and "FILTER" not in node.template and (node.template[:5] not in ("array", "round", "CAST(") or "regr" in node.template):
            test = e("bool")
            place = len(node.children)
            node = Node(type, tailed(node.template, f" FILTER (WHERE {{{place}}})"), *node.children, test,
                        duck=tailed(node.duck, f" FILTER (WHERE {{{place}}})"))
        return node

    def total(self, columns):
        """An order without ties of rows that differ: by the unique columns of base tables, and all columns of other relations."""
        columns = self.rng.sample(columns, len(columns))
        unique = [r for r, _ in columns if r[-2:] in ("ia", "ib", "ic", "ie")]
        counted = {r.split(".")[0] for r in unique}
        others = [r for r, _ in columns if r.split(".")[0] not in counted]
        if unique:
            columns = columns[:self.rng.choice([0, 1, 2])]
        names = [r for r, _ in columns] + unique + others
        return ", ".join(f"{r} {self.direction()}" for r in dict.fromkeys(names))

    def gathered(self, scope, x, template):
        """An aggregate that puts texts together in an order; ordered by a column, as DuckDB wants no constant there."""
        if not any(r in x.sql() for r, _ in scope.columns):
            columns = scope.of(x.type)
            if not columns:
                return Node("text", "max('a')")
            x = Node(x.type, self.rng.choice(columns))
        duck = template
        if template.startswith("array_to_string"):
            listed = template[len("array_to_string("):-len(", '|', '~')")]
            duck = f"array_to_string(list_transform({listed}, lambda v: coalesce(CAST(v AS VARCHAR), '~')), '|')"
        return Node("text", template, x, duck=duck)

    def window(self, type, scope, depth):
        plain = Scope(scope.columns, scope.outer)
        e = lambda t: self.expr(t, plain, 1 if self.chance(0.3) else 0)
        by = self.rng.sample(scope.columns, min(len(scope.columns), self.rng.choice([0, 1, 1, 2])))
        partition = "PARTITION BY " + ", ".join(r for r, _ in by) + " " if by else ""
        total = "ORDER BY " + self.total(scope.columns)
        some = "ORDER BY " + ", ".join(f"{r} {self.direction()}" for r, _ in self.rng.sample(scope.columns, 1)) if scope.columns else ""
        low = self.rng.choice(["UNBOUNDED PRECEDING", "2 PRECEDING", "1 PRECEDING", "CURRENT ROW"])
        high = self.rng.choice(["UNBOUNDED FOLLOWING", "1 FOLLOWING", "2 FOLLOWING", "CURRENT ROW"])
        rows = f" ROWS BETWEEN {low} AND {high}"
        groups = f" {self.rng.choice(['RANGE', 'GROUPS'])} BETWEEN {self.rng.choice(['UNBOUNDED PRECEDING', 'CURRENT ROW'])} AND {self.rng.choice(['UNBOUNDED FOLLOWING', 'CURRENT ROW'])}"
        over = lambda order, frame="": f" OVER ({partition}{order}{frame})"
        number = scope.of("int")
        near = lambda: over(f"ORDER BY {self.rng.choice(number)} {self.direction()}", f" RANGE BETWEEN {self.rng.choice(['1 PRECEDING', '2 PRECEDING', 'CURRENT ROW'])} AND {self.rng.choice(['1 FOLLOWING', 'CURRENT ROW', 'UNBOUNDED FOLLOWING'])}")
        days = scope.of("date") + scope.of("ts")
        span = lambda: over(f"ORDER BY {self.rng.choice(days)} {self.direction()}", f" RANGE BETWEEN INTERVAL '{self.span(True)}' PRECEDING AND {self.rng.choice(['CURRENT ROW', 'UNBOUNDED FOLLOWING'])}")
        if not scope.columns:
            return self.literal(type)
        def aggregate():
            node = self.aggregate(type, plain, 1)
            if "regr" not in node.template and any(word in node.template for word in ("ORDER BY", "DISTINCT", "round", "array", "percentile", "median", "quantile", "CAST(avg")):
                node = Node(type, "max({0})", e(type))
            tail = self.pick((2, lambda: over(total, rows)), (1, lambda: over(some, groups)), (1, lambda: over(some)), (1, lambda: over("")),
                             (0.5 if number else 0, near), (0.4 if days else 0, span))
            return Node(type, tailed(node.template, tail), *node.children, duck=tailed(node.duck, tail))
        rank = [(1, lambda: Node(type, "row_number()" + over(total))), (1, lambda: Node(type, self.rng.choice(["rank()", "dense_rank()"]) + over(some))),
                  (0.4, lambda: Node(type, f"ntile({self.rng.choice([1, 2, 3])})" + over(total)))] if type == "int" else []
        share = [(0.8, lambda: Node(type, self.rng.choice(["percent_rank()", "cume_dist()"]) + over(some)))] if type == "dbl" else []
        return self.pick(
            (2, aggregate), *rank, *share,
            (1, lambda: Node(type, f"{self.rng.choice(['lag', 'lead'])}({{0}}{self.rng.choice(['', ', 1', ', 2'])})" + over(total), e(type))),
            (0.4, lambda: Node(type, f"{self.rng.choice(['lag', 'lead'])}({{0}}, 1, {{1}})" + over(total), e(type), self.literal(type))),
            (1, lambda: Node(type, f"{self.rng.choice(['first_value', 'last_value'])}({{0}})" + over(total, rows), e(type))),
            (0.4, lambda: Node(type, f"nth_value({{0}}, {self.rng.choice([1, 2])})" + over(total, rows), e(type))))
