"""Random statements on Tidemill and on DuckDB: the same rows, or a difference that has a name.

    python differential.py --statements 2000 --seed 1        Tidemill: TIDEMILL or --tidemill, default target/release/tidemill

`tables.py` draws small tables, written as Parquet and read by both engines; `grammar.py` and `expressions.py` draw statements over
them; `engines.py` asks both; `compare.py` compares the rows and has the list of known differences. A difference is made smaller,
statement and rows, and printed with both answers. The same seed gives the same tables and statements. Ends with 1 where there is a
difference, or an error of one engine alone, that `compare.py` does not name.

Needs: pip install duckdb pyarrow
"""
import argparse
import collections
import json
import os
import random
import re
import sys
import time

import tables as drawn
from compare import DUCK_REFUSED, KNOWN, REFUSED, reason, shape, verdict
from engines import DuckDB, Tidemill
from grammar import Grammar

#: Statements over one set of tables.
BY_SET = 100


class Pair:
    """Both engines on one set of tables."""

    def __init__(self, binary, tables):
        self.tables = tables
        self.tidemill = Tidemill(binary, tables)
        self.duckdb = DuckDB(tables, self.tidemill.folder)

    def ask(self, node, exact=False):
        """(verdict, Tidemill's answer, DuckDB's answer). `exact` tells null from the empty text, by a second SELECT around the statement."""
        theirs = self.duckdb.ask(node.sql(duck=True))
        ordered = node.type == "ordered"
        texts = [i for i, type in enumerate(theirs.types) if type == "VARCHAR"]
        exact = exact and not ordered and bool(texts) and len(set(theirs.names)) == len(theirs.names)
        if exact:
            marks = ", ".join(f"q.{theirs.names[i]} IS NULL" for i in texts)
            ours = self.tidemill.ask(f"SELECT q.*, {marks} FROM ({node.sql()}) AS q")
            if ours.fate == "rows":
                width = len(theirs.names)
                # By name: `*` of a join by names has another order here.
                places = [ours.names.index(theirs.names[i]) for i in texts] if set(theirs.names) <= set(ours.names) else []
                for row in ours.rows:
                    for i, mark in zip(places, row[width:]):
                        row[i] = "" if row[i] is None and mark == "false" else row[i]
                    del row[width:]
                del ours.names[width:]
        else:
            ours = self.tidemill.ask(node.sql())
        return verdict(ours, theirs, exact, ordered), ours, theirs

    def close(self):
        self.duckdb.close()
        self.tidemill.close()


class Shrinking:
    """Takes away from a statement and its tables what the difference does not need, for at most `seconds`."""

    def __init__(self, binary, pair, node, exact, seconds):
        self.binary, self.pair, self.node, self.exact, self.own = binary, pair, node, exact, False
        self.end = time.time() + seconds
        self.verdict, *answers = pair.ask(node, exact)
        self.shapes = [shape(answer.error) for answer in answers]

    def holds(self, pair, node):
        """Whether it is the same difference: the same verdict and, where there is one, the same error."""
        got, *answers = pair.ask(node, self.exact)
        return got == self.verdict and [shape(answer.error) for answer in answers] == self.shapes

    def statement(self):
        tried, found = set(), True
        while found:
            found, size = False, len(self.node.sql())
            for other in self.node.smaller():
                text = other.sql()
                if time.time() > self.end:
                    return
                if len(text) < size and text not in tried:
                    tried.add(text)
                    if self.holds(self.pair, other):
                        self.node, found = other, True
                        break

    def rows(self):
        found = True
        while found:
            found = False
            for t, table in enumerate(self.pair.tables):
                if table.name not in self.node.sql():
                    continue
                for place in reversed(range(len(table.rows))):
                    if time.time() > self.end:
                        return
                    tables = self.pair.tables
                    other = Pair(self.binary, [*tables[:t], tables[t].without(place), *tables[t + 1:]])
                    if self.holds(other, self.node):
                        self.take(other)
                        found = True
                    else:
                        other.close()

    def take(self, pair):
        self.close()
        self.pair, self.own = pair, True

    def close(self):
        if self.own:
            self.pair.close()


class Report:
    """What has come out, by class."""

    def __init__(self, log):
        self.counts, self.groups, self.examples = collections.Counter(), collections.Counter(), {}
        self.log = open(log, "w") if log else None

    def classify(self, got, ours, theirs):
        """(class, shape of the error): known errors of one engine alone in small letters, others in capitals."""
        if got == "refused":
            why = reason(ours.error, REFUSED)
            return (f"refused: {why}" if why else "REFUSED"), shape(ours.error)
        if got == "duckdb refused":
            why = reason(theirs.error, DUCK_REFUSED)
            return (f"duckdb refused: {why}" if why else "DUCKDB REFUSED"), shape(theirs.error)
        return got, shape(ours.error) if got == "BROKEN" else ""

    def add(self, name, text, node):
        self.counts[name] += 1
        self.groups[name, text] += 1
        if len(node.sql()) < len(self.examples.get((name, text), "x" * 10**6)):
            self.examples[name, text] = node.sql()

    def write(self, name, number, node, ours, theirs):
        if self.log:
            entry = {"class": name, "set": number, "tidemill": node.sql(), "duckdb": node.sql(duck=True), "answers": [shown(ours), shown(theirs)]}
            print(json.dumps(entry), file=self.log, flush=True)

    def print(self, seconds):
        for (name, text), count in sorted(self.groups.items(), key=lambda group: (group[0][0], -group[1])):
            if text:
                print(f"{count:6} {name}: {text}\n       {self.examples[name, text][:300]}")
        total = sum(self.counts.values())
        classes = ", ".join(f"{count} {name}" for name, count in self.counts.most_common())
        print(f"{classes} of {total} in {seconds:.0f} s, {total / seconds:.0f}/s")

    def unexplained(self):
        return any(name in ("DIFFERENT", "BROKEN", "REFUSED", "DUCKDB REFUSED") for name in self.counts)


def shown(answer):
    if answer.fate != "rows":
        return f"{answer.fate}: {answer.error[:600]}"
    rows = [", ".join("null" if c is None else str(c) for c in row) for row in answer.rows]
    return f"{len(rows)} rows [{', '.join(answer.names)}]\n" + "".join(f"    {r}\n" for r in sorted(rows)[:20])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--statements", type=int, default=2000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--tidemill", default=os.environ.get("TIDEMILL", "target/release/tidemill"))
    parser.add_argument("--shrink", type=float, default=30, help="seconds for making a difference smaller")
    parser.add_argument("--only", type=int, help="one set of tables: the number that a difference names")
    parser.add_argument("--skip", help="a pattern of statements that are not asked")
    parser.add_argument("--log", help="a file for every statement that is not equal, a JSON object a line")
    args = parser.parse_args()
    binary, report, start = os.path.abspath(args.tidemill), Report(args.log), time.time()
    for number in range((args.statements + BY_SET - 1) // BY_SET):
        if args.only is not None and number != args.only:
            continue
        rng = random.Random(f"{args.seed}/{number}")
        tables = drawn.draw(rng)
        grammar = Grammar(rng, tables)
        pair = Pair(binary, tables)
        for count in range(min(BY_SET, args.statements - number * BY_SET)):
            node, exact = grammar.statement(), rng.random() < 0.3
            if args.skip and re.search(args.skip, node.sql()):
                continue
            got, ours, theirs = pair.ask(node, exact)
            name, text = report.classify(got, ours, theirs)
            if name.isupper() and (name == "DIFFERENT" or not report.groups[name, text]) and args.shrink:
                shrinking = Shrinking(binary, pair, node, exact, args.shrink)
                shrinking.statement()
                known = reason(shrinking.node.sql(), [(k.pattern, k.name) for k in KNOWN]) if name == "DIFFERENT" else None
                if known:
                    name, text = f"known: {known}", ""
                else:
                    shrinking.rows()
                    shrinking.statement()
                    least = shrinking.node
                    print(f"--- {name} (set {number}, statement {count}) {text}\n{least.sql()}")
                    if least.sql(duck=True) != least.sql():
                        print(f"DuckDB: {least.sql(duck=True)}")
                    print("".join(t.as_text() for t in shrinking.pair.tables if t.name in least.sql()), end="")
                    _, *answers = shrinking.pair.ask(least, exact)
                    print(f"Tidemill: {shown(answers[0])}\nDuckDB:   {shown(answers[1])}", flush=True)
                shrinking.close()
            report.add(name, text, node)
            if name not in ("equal", "both errors"):
                report.write(name, number, node, ours, theirs)
        pair.close()
    report.print(time.time() - start)
    return 1 if report.unexplained() else 0


if __name__ == "__main__":
    sys.exit(main())
