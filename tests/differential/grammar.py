"""Statements from a typed grammar over the tables of a set, drawn from a seed."""
from expressions import Expressions, Scope
from tree import SCALARS, Node, Opt, Seq


class Grammar(Expressions):
    """Draws statements over `tables`."""

    def __init__(self, rng, tables):
        self.rng, self.count, self.plain = rng, 0, False
        self.base = [(t.name, t.columns()) for t in tables]
        self.ctes = []

    def fresh(self, letter):
        self.count += 1
        return f"{letter}{self.count}"

    def chance(self, p):
        return self.rng.random() < p

    def pick(self, *choices):
        """One of (weight, function) called."""
        total = self.rng.random() * sum(w for w, _ in choices)
        for weight, make in choices:
            total -= weight
            if total < 0:
                return make()
        return choices[-1][1]()

    # --- statements ---------------------------------------------------------------------------------------------

    def statement(self):
        self.count, self.ctes = 0, []
        self.names = self.rng.sample(["s", "k", "g", "b"], 2)
        if self.chance(0.12):
            ctes = []
            for _ in range(self.rng.choice([1, 1, 2])):
                query, outs = self.query([], 2)
                name = self.fresh("w")
                ctes.append(Node("cte", name + " AS ({0})", query))
                self.ctes.append((name, outs))
            query, outs = self.query([], 3)
            return Node("query", "{0}{1}", Opt("WITH {0} ", Seq(", ", ctes)), query)
        if self.chance(0.03):
            return self.star()
        if self.chance(0.03):
            return self.shadowed()
        query, outs = self.query([], 3, ordered=False)
        # What is ordered by position here is refused over DISTINCT ON.
        if self.chance(0.15) and "DISTINCT ON" not in query.template:
            keys = [Node("key", f"{i + 1} {self.direction()}") for i in range(len(outs))]
            tail = f" LIMIT {self.rng.choice([0, 1, 2, 3, 5])}" + (f" OFFSET {self.rng.choice([1, 2])}" if self.chance(0.3) else "")
            return Node("ordered", "{0} ORDER BY {1}{2}", query, Seq(", ", keys, len(keys)), Opt(tail) if self.chance(0.7) else Node("gone", ""))
        return query

    def star(self):
        """All columns of a join by names: the merged ones once, first."""
        source, columns = self.paired(1)
        return Node("query", "SELECT * FROM {0}{1}", source, self.where(Scope(columns), 1, 0.3))

    def shadowed(self):
        """Columns that are called as columns of the table, and an order of expressions, which are of the table's."""
        table, columns = self.rng.choice(self.base)
        name = self.fresh("t")
        scope = Scope([(f"{name}.{n}", t) for n, t in columns])
        chosen = self.rng.sample(columns, self.rng.choice([1, 2]))
        items = [Node("item", "{0} AS " + n, self.expr(t, scope, 2)) for n, t in chosen]
        read, type = self.rng.choice(chosen)
        forms = {"int": "({0} + 0)", "dbl": "({0} * 1e0)", "text": "({0} || '')", "date": "({0} + 0)"}
        key = Node(type, self.rng.choice([forms.get(type, "COALESCE({0}, {0})"), "COALESCE({0}, {0})"]).format(read))
        keys = [Node("key", "{0} " + self.direction(), key)] + [Node("key", f"{i + 1} {self.direction()}") for i in range(len(chosen))]
        form = self.rng.choice(["SELECT {0} FROM " + f"{table} AS {name}"] * 2 + ["(SELECT {0} FROM " + f"{table} AS {name})"])
        return Node("ordered", form + " ORDER BY {1}{2}", Seq(", ", items, len(items)), Seq(", ", keys, len(keys)),
                    Opt(f" LIMIT {self.rng.choice([1, 2, 5])}") if self.chance(0.4) else Node("gone", ""))

    def query(self, outer, depth, types=None, ordered=None):
        """(query, its columns as (name, type)). `types`: of the columns that it has to have."""
        limit = self.chance(0.12) if ordered is None else ordered
        body, outs = self.pick(
            (10, lambda: self.select(outer, depth, types)),
            (5 if depth > 0 else 2, lambda: self.grouped(outer, depth, types)),
            (3 if depth > 1 else 0, lambda: self.windowed(outer, depth, types)),
            (3 if depth > 1 else 0, lambda: self.sets(outer, depth, types)),
            (0.6 if depth > 1 and not types and not limit else 0, lambda: self.distinct_on(outer, depth)))
        if limit:
            keys = [Node("key", f"{i + 1} {self.direction()}") for i in range(len(outs))]
            self.rng.shuffle(keys)
            tail = f" LIMIT {self.rng.choice([0, 1, 2, 3, 5])}" + (f" OFFSET {self.rng.choice([1, 2])}" if self.chance(0.3) else "")
            body = Node("query", "{0}{1}{2}", body, Node("order", " ORDER BY {0}", Seq(", ", keys)), Opt(tail))
        return body, outs

    def direction(self):
        return self.rng.choice(["ASC", "DESC"]) + " NULLS " + self.rng.choice(["FIRST", "LAST"])

    def out_types(self, types):
        return types or [self.rng.choice(["int", "int", "dbl", "dec", "text", "text", "bool", "date", "ts"]) for _ in range(self.rng.choice([1, 2, 2, 3, 4]))]

    def items(self, scope, types, depth):
        nodes, outs = [], []
        names = [n for t in types for n in [self.fresh("c")]]
        for name, type in zip(names, types):
            nodes.append(Node("item", "{0} AS " + name, self.expr(type, scope, depth)))
            outs.append((name, type))
        return Seq(", ", nodes), outs

    def where(self, scope, depth, p=0.5):
        return Opt(" WHERE {0}", self.expr("bool", scope, depth)) if self.chance(p) else Node("gone", "")

    def select(self, outer, depth, types=None):
        source, columns = self.source(outer, depth)
        scope = Scope(columns, outer)
        items, outs = self.items(scope, self.out_types(types), depth)
        return Node("query", "SELECT {0}{1} FROM {2}{3}", Opt("DISTINCT ") if self.chance(0.15) else Node("gone", ""), items, source,
                    self.where(scope, depth)), outs

    def grouped(self, outer, depth, types=None):
        source, columns = self.source(outer, depth)
        inner = Scope(columns, outer)
        types = self.out_types(types)
        where = self.where(inner, depth - 1, 0.3)
        plain = self.chance(0.75)
        chosen = self.rng.sample(columns, min(len(columns), self.rng.choice([0, 1, 1, 2, 2, 3])))
        keys = [(Node(t, r), t) for r, t in chosen]
        if plain and self.chance(0.3):
            type = self.rng.choice(SCALARS)
            key = self.expr(type, Scope(columns), 1)
            if any(r in key.sql() for r, _ in columns):
                keys.append((key, type))
        grouping = []
        if not keys:
            by = Node("gone", "")
        elif plain:
            by = Opt(" GROUP BY {0}", Seq(", ", [k for k, _ in keys]))
        else:
            grouping = [k.sql() for k, _ in keys]
            kind = self.rng.choice(["ROLLUP", "CUBE", "GROUPING SETS"])
            if kind == "GROUPING SETS":
                sets = [Node("set", "({0})", Seq(", ", [k for k, _ in self.rng.sample(keys, self.rng.randint(0, len(keys)))], 0)) for _ in range(self.rng.choice([1, 2, 3]))]
                sets.append(Node("set", "({0})", Seq(", ", [k for k, _ in keys], 0)))
                by = Opt(" GROUP BY GROUPING SETS ({0})", Seq(", ", sets))
            else:
                parts = [k for k, _ in keys]
                if self.chance(0.15):
                    # A column twice, and two as one.
                    parts.insert(self.rng.randint(0, len(parts)), self.rng.choice([parts[0], Node("set", "({0})", Seq(", ", parts[:2]))]))
                by = Opt(f" GROUP BY {kind} ({{0}})", Seq(", ", parts))
        scope = Scope([(k.sql(), t) for k, t in keys if not k.children], outer, over=inner, grouping=grouping)
        scope.keys = [(k, t) for k, t in keys if k.children]
        items, outs = self.items(scope, types, depth)
        having = Opt(" HAVING {0}", self.expr("bool", scope, depth - 1)) if keys and self.chance(0.25) else Node("gone", "")
        return Node("query", "SELECT {0} FROM {1}{2}{3}{4}", items, source, where, by, having), outs

    def windowed(self, outer, depth, types=None):
        self.plain = True
        source, columns = self.source(outer, 0)
        self.plain = False
        scope = Scope(columns, outer, windows=True)
        items, outs = self.items(scope, self.out_types(types), 2)
        where = self.where(Scope(columns, outer), 1, 0.3)
        qualify = Opt(" QUALIFY ({0} IS DISTINCT FROM {1})", self.window("int", scope, 1), self.literal("int")) if self.chance(0.1) else Node("gone", "")
        return Node("query", "SELECT {0} FROM {1}{2}{3}", items, source, where, qualify), outs

    def sets(self, outer, depth, types=None):
        types = self.out_types(types)
        left, outs = self.query(outer, depth - 1, types, ordered=False)
        right, _ = self.query(outer, depth - 1, types, ordered=False)
        word = self.rng.choice(["UNION", "UNION ALL", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL"])
        node = Node("query", "({0}) " + word + " ({1})", left, right)
        if self.chance(0.2):
            third, _ = self.query(outer, depth - 1, types, ordered=False)
            node = Node("query", "({0}) " + self.rng.choice(["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]) + " ({1})", node, third)
        return node, outs

    def distinct_on(self, outer, depth):
        source, columns = self.source(outer, 1)
        chosen = self.rng.sample(columns, min(len(columns), self.rng.choice([1, 1, 2])))
        on = [Node(t, r) for r, t in chosen]
        rest = [c for c in columns if c not in chosen]
        keys = [Node("key", f"{r} {self.direction()}") for r, _ in chosen + rest]
        outs = [(self.fresh("c"), t) for _, t in columns]
        items = [Node("item", f"{r} AS {n}") for (r, _), (n, _) in zip(columns, outs)]
        return Node("query", "(SELECT DISTINCT ON ({0}) {1} FROM {2}{3} ORDER BY {4})", Seq(", ", on), Seq(", ", items), source,
                    self.where(Scope(columns, outer), 1, 0.3), Seq(", ", keys)), outs

    # --- FROM ---------------------------------------------------------------------------------------------------

    def source(self, outer, depth):
        """(FROM, its columns as (reference, type))."""
        if self.chance(0.2):
            return self.paired(depth)
        if depth > 0 and not self.plain and self.chance(0.03):
            return self.lateral()
        node, columns = self.relation(outer, depth)
        joins = self.rng.choice([0, 0, 1, 1, 1, 2]) if depth > 0 else self.rng.choice([0, 0, 1])
        for last in range(1 - joins, 1):
            other, more = self.relation(outer, depth - 1)
            kinds = ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN"]
            # A comma binds less than JOIN: only as the last.
            kind = self.rng.choice(kinds + [", "] * (last == 0))
            duck = kind.replace("LEFT SEMI", "SEMI").replace("LEFT ANTI", "ANTI")
            if kind == ", " or kind == "CROSS JOIN":
                node = Node("from", "{0}" + (kind if kind == ", " else f" {kind} ") + "{1}", node, other)
                columns = columns + more
                continue
            condition = self.condition(columns, more, depth)
            node = Node("from", f"{{0}} {kind} {{1}} ON {{2}}", node, other, condition, duck=f"{{0}} {duck} {{1}} ON {{2}}")
            if "SEMI" not in kind and "ANTI" not in kind:
                columns = columns + more
        return node, columns

    def condition(self, left, right, depth):
        pairs = [(l, r, t) for l, t in left for r, u in right if t == u]
        parts = []
        for _ in range(self.rng.choice([1, 1, 1, 2])):
            if pairs and self.chance(0.85):
                l, r, t = self.rng.choice(pairs)
                word = self.rng.choice(["=", "=", "=", "=", "=", "<", ">=", "<>", "IS NOT DISTINCT FROM"])
                parts.append(Node("bool", f"({l} {word} {r})" if "DISTINCT" in word else f"{l} {word} {r}"))
            else:
                parts.append(self.expr("bool", Scope(left + right), 1))
        numbers = [(l, r) for l, t in left for r, u in right if t == u == "int"]
        if numbers and self.chance(0.06):
            l, r = self.rng.choice(numbers)
            test = self.rng.choice([f"{l} <> 0", f"{l} > {r} AND {l} > 0", f"{l} * {r} <> 0", f"({l} + {r}) * {l} <> 0"])
            parts.append(Node("bool", f"({test} AND 12 / {l} = {r})", duck=f"({test} AND 12 // NULLIF({l}, 0) = {r})"))
        return Node("bool", "({0})", Seq(" AND ", parts))

    def relation(self, outer, depth):
        name = self.fresh("t")
        if self.chance(0.03) and self.names:
            # A table may be called as a column is.
            name = self.names.pop()
        if depth > 0 and not self.plain and self.chance(0.2):
            query, outs = self.query([], depth - 1)
            node = Node("from", "({0}) AS " + name, query)
            if self.ctes and self.chance(0.2):
                # Called as a part around it.
                cte = self.rng.choice(self.ctes)[0]
                node = Node("from", f"(WITH {cte} AS ({{0}}) SELECT * FROM {cte}) AS {name}", query)
        elif not self.plain and self.chance(0.03):
            low, high = self.rng.choice([0, 1]), self.rng.choice([2, 3, 5])
            outs = [(self.fresh("n"), "int")]
            node = Node("from", f"(WITH RECURSIVE r AS (SELECT {low} AS n UNION ALL SELECT n + 1 FROM r WHERE n < {high}) SELECT n AS {outs[0][0]} FROM r) AS {name}")
        elif not self.plain and self.chance(0.06):
            types = self.out_types(None)[:3]
            outs = [(self.fresh("v"), t) for t in types]
            rows = [Node("row", "({0})", Seq(", ", [self.literal(t) for t in types], len(types))) for _ in range(self.rng.choice([1, 2, 3]))]
            node = Node("from", f"(VALUES {{0}}) AS {name} ({', '.join(n for n, _ in outs)})", Seq(", ", rows))
        elif self.ctes and not self.plain and self.chance(0.5):
            cte, outs = self.rng.choice(self.ctes)
            node = Node("from", f"{cte} AS {name}")
        else:
            table, outs = self.rng.choice(self.base[:3] * 3 + self.base[3:])
            node = Node("from", f"{table} AS {name}")
        return node, [(f"{name}.{n}", t) for n, t in outs]

    def lateral(self):
        """A table and an aggregate of the rows of another that belong to each of its rows."""
        table, columns = self.rng.choice(self.base)
        other, more = self.rng.choice(self.base)
        x, y, z, out = self.fresh("t"), self.fresh("t"), self.fresh("t"), self.fresh("c")
        left = [(f"{x}.{n}", t) for n, t in columns]
        right = [(f"{y}.{n}", t) for n, t in more]
        l, r = self.rng.choice([(l, r) for l, t in left for r, u in right if t == u])
        if self.chance(0.3):
            unique = f"{y}.i{other[1]}"
            over = self.rng.choice(["count(*) OVER ()", f"row_number() OVER (ORDER BY {unique})", f"CAST(sum({unique}) OVER (ORDER BY {unique} DESC) AS BIGINT)"])
            node = Node("from", f"{table} AS {x} CROSS JOIN LATERAL (SELECT {over} AS {out} FROM {other} AS {y} WHERE {r} = {l}) AS {z}")
            return node, left + [(f"{z}.{out}", "int")]
        type = self.rng.choice(SCALARS)
        item = self.aggregate(type, Scope(right), 1)
        node = Node("from", f"{table} AS {x} CROSS JOIN LATERAL (SELECT {{0}} AS {out} FROM {other} AS {y} WHERE {r} = {l}) AS {z}", item)
        return node, left + [(f"{z}.{out}", type)]

    def paired(self, depth):
        """A join by names: USING, NATURAL."""
        (a, left), (b, right) = self.rng.sample(self.base, 2)
        shared = [c for c in left if c in right]
        x, y = self.fresh("t"), self.fresh("t")
        kind = self.rng.choice(["", "LEFT ", "RIGHT ", "FULL ", "FULL "])
        # NATURAL RIGHT and FULL are refused: rarely, so that it stays so.
        if self.chance(0.4 if kind in ("", "LEFT ") else 0.03):
            used = shared
            node = Node("from", f"{a} AS {x} NATURAL {kind}JOIN {b} AS {y}")
        else:
            used = self.rng.sample(shared, self.rng.randint(1, len(shared)))
            node = Node("from", f"{a} AS {x} {kind}JOIN {b} AS {y} USING ({', '.join(n for n, _ in used)})")
        columns = [(n, t) for n, t in used]
        columns += [(f"{x}.{n}", t) for n, t in left if (n, t) not in used] + [(f"{y}.{n}", t) for n, t in right if (n, t) not in used]
        if used != shared or self.chance(0.3):
            pass
        elif self.chance(0.4):
            (c, third), z = self.rng.choice(self.base), self.fresh("t")
            again = [col for col in used if col in third]
            kind = self.rng.choice(["", "LEFT ", "FULL "])
            if again and not {n for n, _ in third} - {n for n, _ in again} & {n for n, _ in used}:
                node = Node("from", f"{{0}} {kind}JOIN {c} AS {z} USING ({', '.join(n for n, _ in again)})", node)
                columns += [(f"{z}.{n}", t) for n, t in third if (n, t) not in again]
                if any((n, t) not in again and (n, t) in third for n, t in used):
                    columns = [(r, t) for r, t in columns if "." in r or (r, t) in again]
        if self.chance(0.5):
            columns += [(f"{x}.{n}", t) for n, t in used] + [(f"{y}.{n}", t) for n, t in used]
        return node, columns
